"""What a training leaves for people and programs: curves in tensorboard, JSON lines, one validation a step."""

import json
import os
import re
import signal

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from train_helpers import crash, log_of, stage_options, stop_at, train, write_images, write_yaml

from clit_plugin.basicsr_bridge.run_log import append, centre_crops, forget_after
from clit_plugin.models.cumulative_scale_model import CumulativeScaleModel


@pytest.fixture
def option_file(tmp_path, monkeypatch):
    """A tiny second stage of 4 steps, validated after 2 and 4, in the working directory."""
    monkeypatch.chdir(tmp_path)
    options = stage_options(write_images(tmp_path / "hr", 2, (40, 44)), 2, name="s", total_iter=4)
    options["logger"]["use_tb_logger"] = True
    options["val"]["val_freq"] = 2
    return write_yaml(tmp_path / "s.yml", options)


def lines_of(folder):
    return [json.loads(line) for line in (folder / "experiments/s/curves.jsonl").read_text().splitlines()]


def events_of(folder):
    events = EventAccumulator(str(folder / "tb_logger/s"))
    events.Reload()
    return events


def steps(events, tag):
    return [event.step for event in events.Scalars(tag)]


def test_the_last_step_is_validated_once_and_under_its_number(option_file, tmp_path):
    assert train("-opt", option_file) == 0
    log = log_of(tmp_path, "s")
    assert log.count("Validating tiny_x2.5") == 2
    assert set(re.findall(r"@ (\d+) iter", log)) <= {"2", "4"}
    assert steps(events_of(tmp_path), "metrics/tiny_x2.5/psnr") == [2, 4]


def test_the_last_step_is_validated_even_between_validation_steps(option_file, tmp_path):
    assert train("-opt", option_file, "--set", "val.val_freq=3") == 0
    assert steps(events_of(tmp_path), "metrics/tiny_x2.5/psnr") == [3, 4]


def test_tensorboard_events_contain_the_curves(option_file, tmp_path):
    assert train("-opt", option_file) == 0
    events = events_of(tmp_path)
    for tag in ("lr", "losses/l_pix", "losses/l_branch_1", "images_per_second"):
        assert steps(events, tag) == [1, 2, 3, 4], tag
    assert [event.value for event in events.Scalars("lr")] == pytest.approx([1e-3, 1e-3, 1e-3, 5e-4])
    assert steps(events, "losses/l_branch_2") == [2, 3, 4]
    assert any(tag.startswith("losses/l_x") for tag in events.Tags()["scalars"])
    crops = events.Images("crops/tiny_x2.5")
    assert [(crop.step, crop.height, crop.width) for crop in crops] == [(2, 40, 84), (4, 40, 84)]


def test_every_print_and_every_validation_is_a_line_of_json(option_file, tmp_path):
    assert train("-opt", option_file) == 0
    prints = [line for line in lines_of(tmp_path) if "set" not in line]
    assert [line["iter"] for line in prints] == [1, 2, 3, 4]
    assert [line["lr"] for line in prints] == [1e-3, 1e-3, 1e-3, 5e-4]
    assert {"epoch", "l_pix", "images_per_second", "time", "data_time"} <= prints[0].keys()
    printed = re.findall(r"l_pix: (\S+)", log_of(tmp_path, "s"))
    assert [f"{line['l_pix']:.4e}" for line in prints] == printed
    validations = [line for line in lines_of(tmp_path) if "set" in line]
    assert [(line["iter"], line["set"]) for line in validations] == [(2, "tiny_x2.5"), (4, "tiny_x2.5")]
    values = [event.value for event in events_of(tmp_path).Scalars("metrics/tiny_x2.5/psnr")]
    assert [line["metrics"]["psnr"] for line in validations] == pytest.approx(values, rel=1e-6)


def test_the_logged_loss_is_the_mean_of_the_steps_since_the_last_line(option_file, tmp_path):
    assert train("-opt", option_file) == 0
    single = [line["l_pix"] for line in lines_of(tmp_path) if "set" not in line]
    assert train("-opt", option_file, "--set", "logger.print_freq=4") == 0
    (line,) = (line for line in lines_of(tmp_path) if "set" not in line)
    assert line["l_pix"] == pytest.approx(sum(single) / 4, rel=1e-5)


def test_a_resumed_run_replaces_the_lines_of_repeated_steps(option_file, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        stop_at(patch, "s", 4, crash)
        assert train("-opt", option_file) == 130
    with (tmp_path / "experiments/s/curves.jsonl").open("a") as file:
        file.write('{"iter": 2, "l_p')  # cut off by a crash
    assert train("-opt", option_file, "--auto_resume") == 0
    lines = lines_of(tmp_path)
    assert [line["iter"] for line in lines if "set" not in line] == [1, 2, 3, 4]
    assert [line["iter"] for line in lines if "set" in line] == [2, 4]
    assert "curves.jsonl: 1 damaged line removed" in log_of(tmp_path, "s")


@pytest.mark.parametrize(
    "damage",
    [
        b'{"iter": 2, "l_p\n',
        b"\x00\x00\x00\n",
        b'{"l_pix": 1.0}\n',
        b"[2]\n",
        b'{"iter": null}\n',
        b"\xff\xfe}\n",
        b"\n",
    ],
)
def test_a_damaged_line_is_dropped_with_a_warning_wherever_it_is(tmp_path, caplog, damage):
    file = tmp_path / "curves.jsonl"
    lines = [json.dumps({"iter": step, "l_pix": 0.5}).encode() + b"\n" for step in (1, 2, 3)]
    file.write_bytes(lines[0] + damage + lines[1] + lines[2])
    with caplog.at_level("WARNING", logger="basicsr"):
        forget_after(file, 2)
    assert file.read_bytes() == lines[0] + lines[1]
    assert "1 damaged line removed" in caplog.text


def test_intact_lines_are_kept_without_a_warning(tmp_path, caplog):
    file = tmp_path / "curves.jsonl"
    file.write_text('{"iter": 1}\n{"iter": 2}\n')
    with caplog.at_level("WARNING", logger="basicsr"):
        forget_after(file, 2)
    assert file.read_text() == '{"iter": 1}\n{"iter": 2}\n' and caplog.text == ""


def test_a_stop_during_validation_leaves_complete_lines(option_file, tmp_path, monkeypatch):
    original = CumulativeScaleModel.test

    def test(self):
        original(self)
        os.kill(os.getpid(), signal.SIGTERM)

    with monkeypatch.context() as patch:
        patch.setattr(CumulativeScaleModel, "test", test)
        assert train("-opt", option_file) == 130
    assert train("-opt", option_file, "--auto_resume") == 0
    assert [line["iter"] for line in lines_of(tmp_path) if "set" in line] == [2, 4]


def test_a_number_that_is_not_finite_is_null(tmp_path):
    append(tmp_path / "curves.jsonl", {"iter": 1, "l_pix": float("nan"), "metrics": {"psnr": float("inf")}})
    assert (tmp_path / "curves.jsonl").read_text() == '{"iter": 1, "l_pix": null, "metrics": {"psnr": null}}\n'


def test_logged_crops_are_the_centres_of_output_and_ground_truth():
    output, gt = torch.rand(1, 3, 300, 101) * 3 - 1, torch.rand(1, 3, 300, 101)
    crops = centre_crops(output, gt)
    assert crops.shape == (3, 256, 202)
    torch.testing.assert_close(crops[..., :101], output[0, :, 22:278].clamp(0, 1))
    torch.testing.assert_close(crops[..., 101:], gt[0, :, 22:278])
