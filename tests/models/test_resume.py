"""An interrupted and resumed run ends with the same weights as an uninterrupted one."""

import os
import re
import signal

import pytest
import torch
from train_helpers import crash, log_of, stage_options, stop_at, train, weights, write_images, write_yaml

from clit_plugin.models.cumulative_scale_model import CumulativeScaleModel


@pytest.fixture
def two_stages(tmp_path, monkeypatch):
    """Option files of two tiny stages, of 5 steps in epochs of 4, in the working directory."""
    monkeypatch.chdir(tmp_path)
    images = write_images(tmp_path / "hr", 2, (40, 44))
    return [write_yaml(tmp_path / f"s{n}.yml", stage_options(images, n, name=f"s{n}", total_iter=5)) for n in (1, 2)]


@pytest.fixture
def uninterrupted(two_stages, tmp_path, monkeypatch):
    """Final weights of both stages of an uninterrupted run."""
    folder = tmp_path / "whole"
    folder.mkdir()
    monkeypatch.chdir(folder)
    assert train("-opt", *two_stages) == 0
    monkeypatch.chdir(tmp_path)
    return {name: weights(folder, name) for name in ("s1", "s2")}


def assert_same(actual, expected):
    assert actual.keys() == expected.keys()
    for key, value in expected.items():
        assert torch.equal(actual[key], value), key


def test_a_run_stopped_in_the_middle_of_stage_2_resumes_to_the_same_bits(
    two_stages, uninterrupted, tmp_path, monkeypatch
):
    with monkeypatch.context() as patch:
        stop_at(patch, "s2", 4, crash)
        assert train("-opt", *two_stages) == 130
    assert train("-opt", *two_stages, "--auto_resume") == 0
    log = log_of(tmp_path, "s2")
    assert "Resuming training from epoch: 0, iter: 2" in log
    assert "iter:       3, lr:(5.000e-04" not in log.split("Resuming")[0]
    assert_same(weights(tmp_path, "s1"), uninterrupted["s1"])
    assert_same(weights(tmp_path, "s2"), uninterrupted["s2"])


def test_a_resumed_run_logs_the_next_step_and_its_learning_rate(two_stages, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        stop_at(patch, "s2", 4, crash)
        train("-opt", *two_stages)
    train("-opt", *two_stages, "--auto_resume")
    steps = [line for line in log_of(tmp_path, "s2").splitlines() if "iter:" in line and "lr:(" in line]
    assert "iter:       3, lr:(1.000e-03" in steps[0]  # MultiStepLR halves behind its milestone, 3
    assert "iter:       4, lr:(5.000e-04" in steps[1]


def test_a_run_stopped_between_the_stages_starts_stage_2_from_stage_1(
    two_stages, uninterrupted, tmp_path, monkeypatch, capsys
):
    with monkeypatch.context() as patch:
        stop_at(patch, "s2", 1, crash)
        assert train("-opt", *two_stages) == 130
    assert train("-opt", *two_stages, "--auto_resume") == 0
    assert "s1: already finished, skipped" in capsys.readouterr().err
    assert_same(weights(tmp_path, "s2"), uninterrupted["s2"])


def test_a_signal_saves_the_running_step_before_the_run_ends(two_stages, uninterrupted, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        stop_at(patch, "s1", 3, lambda: os.kill(os.getpid(), signal.SIGTERM))
        assert train("-opt", *two_stages) == 130
    assert (tmp_path / "experiments/s1/training_states/3.state").is_file()
    assert train("-opt", *two_stages, "--auto_resume") == 0
    assert "Resuming training from epoch: 0, iter: 3" in log_of(tmp_path, "s1")
    assert_same(weights(tmp_path, "s2"), uninterrupted["s2"])


def test_a_finished_chain_is_skipped(two_stages, uninterrupted, tmp_path, capsys):
    train("-opt", *two_stages)
    before = {name: weights(tmp_path, name) for name in ("s1", "s2")}
    assert train("-opt", *two_stages, "--auto_resume") == 0
    assert capsys.readouterr().err.count("already finished, skipped") == 2
    for name, expected in before.items():
        assert_same(weights(tmp_path, name), expected)


def test_best_metric_values_survive_a_resume(two_stages, tmp_path, monkeypatch):
    options = ["--set", "val.val_freq=1"]
    with monkeypatch.context() as patch:
        stop_at(patch, "s1", 4, crash)
        train("-opt", two_stages[0], *options)
    first_log = log_of(tmp_path, "s1")
    assert train("-opt", two_stages[0], *options, "--auto_resume") == 0
    # States are written before the validation of their step: that of step 2 knows of step 1 only.
    best = re.findall(r"Best: ([0-9.]+) @ (\d) iter", log_of(tmp_path, "s1"))
    first = re.search(r"Best: ([0-9.]+) @ 1 iter", first_log)
    assert all(float(value) >= float(first[1]) for value, _ in best)
    state = torch.load(tmp_path / "experiments/s1/training_states/2.state", weights_only=True)
    assert state["best_metric_results"]["tiny_x2.5"]["psnr"]["iter"] == 1


def test_a_finished_run_resumes_with_a_larger_total_iter(two_stages, tmp_path):
    train("-opt", two_stages[0])
    assert train("-opt", two_stages[0], "--set", "train.total_iter=7", "--auto_resume") == 0
    assert "iter: 4." in log_of(tmp_path, "s1")  # the newest state is of step 4
    content = torch.load(tmp_path / "experiments/s1/models/net_g_latest.pth", weights_only=True)
    assert content["iter"] == 7


def test_a_failed_write_leaves_the_previous_checkpoint_intact(two_stages, tmp_path, monkeypatch, capsys):
    original = torch.save
    calls = []

    def save(content, path, *args, **kwargs):
        calls.append(path)
        if len(calls) == 3:  # the weights of step 4, after weights and state of step 2
            path.write(b"half")
            raise OSError("No space left on device")
        original(content, path, *args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(torch, "save", save)
        assert train("-opt", two_stages[0]) == 1
    assert "net_g_4.pth: cannot be written (No space left on device)" in capsys.readouterr().err
    assert not (tmp_path / "experiments/s1/models/net_g_4.pth").exists()
    assert train("-opt", two_stages[0], "--auto_resume") == 0
    assert "Resuming training from epoch: 0, iter: 2" in log_of(tmp_path, "s1")


def test_a_run_with_a_byte_metric_can_be_resumed(two_stages, tmp_path, monkeypatch):
    byte_metric = ["--set", "val.val_freq=1", "val.metrics.bytes={type: calculate_psnr}"]
    with monkeypatch.context() as patch:
        stop_at(patch, "s1", 4, crash)
        train("-opt", two_stages[0], *byte_metric)
    assert train("-opt", two_stages[0], *byte_metric, "--auto_resume") == 0


def test_a_metric_added_since_the_start_does_not_stop_a_resume(two_stages, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        stop_at(patch, "s1", 4, crash)
        train("-opt", two_stages[0], "--set", "val.val_freq=1")
    added = ["--set", "val.val_freq=1", "val.metrics.ssim={type: ssim_float}"]
    assert train("-opt", two_stages[0], *added, "--auto_resume") == 0


def test_a_resume_with_longer_epochs_trains_the_remaining_steps(two_stages, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        stop_at(patch, "s1", 5, crash)
        train("-opt", two_stages[0])
    longer = ["--set", "datasets.train.batch_size_per_gpu=1", "datasets.train.dataset_enlarge_ratio=40"]
    assert train("-opt", two_stages[0], *longer, "--auto_resume") == 0
    assert torch.load(tmp_path / "experiments/s1/models/net_g_latest.pth", weights_only=True)["iter"] == 5


def test_a_stop_in_the_last_validation_does_not_start_the_next_stage(two_stages, tmp_path, monkeypatch, capsys):
    original = CumulativeScaleModel.test

    def test(self):
        original(self)
        if self.current_iter == 5:
            os.kill(os.getpid(), signal.SIGTERM)

    with monkeypatch.context() as patch:
        patch.setattr(CumulativeScaleModel, "test", test)
        assert train("-opt", *two_stages) == 130
    assert not (tmp_path / "experiments/s2").exists()
    assert train("-opt", *two_stages, "--auto_resume") == 0
    assert "s1: already finished, skipped" in capsys.readouterr().err


def test_a_new_branch_starts_equal_in_plain_and_averaged_weights(two_stages, tmp_path):
    options = ["--set", "train.total_iter=1", "logger.save_checkpoint_freq=1"]
    assert train("-opt", *two_stages, *options) == 0
    # The first step has one scale, so the second branch is as it was initialised.
    state = torch.load(tmp_path / "experiments/s2/models/net_g_1.pth", weights_only=True)
    new = [key for key in state["params"] if key.startswith("branches.1.")]
    assert new
    for key in new:
        torch.testing.assert_close(state["params_ema"][key], state["params"][key], rtol=1e-6, atol=1e-7)


def test_a_swinir_with_drop_path_resumes_to_the_same_bits(tmp_path, monkeypatch):
    images = write_images(tmp_path / "hr", 2, (40, 44))
    options = stage_options(images, 1, name="swin", total_iter=4)
    swinir = {"type": "SwinIR", "embed_dim": 12, "depths": [2], "num_heads": [2], "window_size": 4, "img_size": 12}
    options["network_g"]["encoder"] = {**swinir, "drop_path_rate": 0.5}
    for folder in ("whole", "stopped"):
        (tmp_path / folder).mkdir()
    monkeypatch.chdir(tmp_path / "whole")
    file = write_yaml(tmp_path / "swin.yml", options)
    assert train("-opt", file) == 0
    monkeypatch.chdir(tmp_path / "stopped")
    with monkeypatch.context() as patch:
        stop_at(patch, "swin", 3, crash)
        train("-opt", file)
    assert train("-opt", file, "--auto_resume") == 0
    assert_same(weights(tmp_path / "stopped", "swin"), weights(tmp_path / "whole", "swin"))


def test_the_learning_rate_is_restored_after_the_warm_up(two_stages, tmp_path):
    train("-opt", two_stages[0], "--set", "train.warmup_iter=2")
    steps = [line for line in log_of(tmp_path, "s1").splitlines() if "iter:" in line and "lr:(" in line]
    assert "lr:(5.000e-04" in steps[0]
    assert "lr:(1.000e-03" in steps[1]
    assert "lr:(1.000e-03" in steps[2]
    assert "lr:(5.000e-04" in steps[3]
