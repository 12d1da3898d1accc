"""Training that diverges to NaN or infinity: what it skips, when it stops, and what it never writes."""

import itertools
import json
import math

import pytest
import torch
from train_helpers import log_of, stage_options, train, weights, write_images, write_yaml

from clit_plugin.models.cumulative_scale_model import CumulativeScaleModel
from clit_plugin.models.loss_gradients import LossGradients


@pytest.fixture
def option_file(tmp_path, monkeypatch):
    """A tiny stage of 6 steps, in the working directory."""
    monkeypatch.chdir(tmp_path)
    images = write_images(tmp_path / "hr", 2, (40, 44))
    return write_yaml(tmp_path / "s1.yml", stage_options(images, 1, name="s1", total_iter=6))


def spoil_loss(monkeypatch, steps):
    """Make the loss of some steps NaN, counting from step 1."""
    original, count = LossGradients.forward, itertools.count(1)

    def forward(self, inputs, stage_sizes):
        output, loss = original(self, inputs, stage_sizes)
        return output, loss * float("nan") if next(count) in steps else loss

    monkeypatch.setattr(LossGradients, "forward", forward)


def assert_finite(folder):
    files = list((folder / "experiments/s1/models").glob("*.pth"))
    for file in files:
        assert all(value.isfinite().all() for value in weights(folder, "s1", file.name).values())
    return [file.name for file in files]


def test_a_non_finite_step_is_skipped_and_logged(option_file, tmp_path, monkeypatch):
    spoil_loss(monkeypatch, {3})
    assert train("-opt", option_file, "--set", "logger.save_checkpoint_freq=1", "train.ema_decay=0") == 0
    lines = [json.loads(line) for line in (tmp_path / "experiments/s1/curves.jsonl").read_text().splitlines()]
    assert [line["iter"] for line in lines if "skipped" in line] == [3]

    def params(step):
        return torch.load(tmp_path / f"experiments/s1/models/net_g_{step}.pth", weights_only=True)["params"]

    assert all(torch.equal(value, params(2)[name]) for name, value in params(3).items())
    assert any(not torch.equal(value, params(3)[name]) for name, value in params(4).items())


def test_a_diverging_run_stops_names_step_and_files_and_keeps_good_checkpoints(
    option_file, tmp_path, monkeypatch, capsys
):
    spoil_loss(monkeypatch, range(3, 100))
    assert train("-opt", option_file, "--set", "train.max_skipped=2") == 1
    message = capsys.readouterr().err
    assert "step 5: 3 consecutive steps with a loss or gradients that are not finite, the last at x" in message
    assert "0001.png" in message and "train.grad_clip" in message
    assert sorted(assert_finite(tmp_path)) == ["net_g_2.pth", "net_g_4.pth"]


def test_an_absurd_learning_rate_leaves_no_non_finite_weights(option_file, tmp_path):
    arguments = ["train.optim_g.lr=1e30", "train.total_iter=100", "logger.save_checkpoint_freq=1"]
    assert train("-opt", option_file, "--set", *arguments, "val.val_freq=1000") == 1
    assert_finite(tmp_path)


def test_non_finite_weights_do_not_overwrite_good_ones(option_file, tmp_path, monkeypatch, capsys):
    original = CumulativeScaleModel.optimize_parameters

    def optimize_parameters(self, current_iter):
        original(self, current_iter)
        if current_iter == 4:
            next(self.net_g.parameters()).data.view(-1)[0] = math.inf

    monkeypatch.setattr(CumulativeScaleModel, "optimize_parameters", optimize_parameters)
    assert train("-opt", option_file) == 1
    assert "net_g_4.pth: not written: weights that are not finite, in 1 of" in capsys.readouterr().err
    assert assert_finite(tmp_path) == ["net_g_2.pth"]
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    assert train("-opt", option_file, "--auto_resume") == 0
    assert "Resuming training from epoch: 0, iter: 2" in log_of(tmp_path, "s1")


def test_a_stage_does_not_start_from_non_finite_weights(option_file, tmp_path, capsys):
    assert train("-opt", option_file) == 0
    file = tmp_path / "experiments/s1/models/net_g_latest.pth"
    content = torch.load(file, weights_only=True)
    next(iter(content["params"].values())).view(-1)[0] = math.nan
    torch.save(content, tmp_path / "nan.pth")
    arguments = ["name=s2", f"path.pretrain_network_g={tmp_path / 'nan.pth'}"]
    assert train("-opt", option_file, "--set", *arguments) == 2
    assert "nan.pth: weights that are not finite" in capsys.readouterr().err
    assert not (tmp_path / "experiments/s2").exists()


def test_a_float16_run_resumes_with_the_scale_of_its_loss_to_the_same_bits(option_file, tmp_path, monkeypatch):
    monkeypatch.setattr(torch.amp.GradScaler, "get_growth_interval", lambda self: 2)
    settings = ["--set", "train.amp=float16", "logger.save_checkpoint_freq=2"]
    (tmp_path / "whole").mkdir()
    monkeypatch.chdir(tmp_path / "whole")
    assert train("-opt", option_file, *settings) == 0
    monkeypatch.chdir(tmp_path)
    with monkeypatch.context() as patch:
        original = CumulativeScaleModel.optimize_parameters

        def optimize_parameters(self, current_iter):
            if current_iter == 5:
                raise KeyboardInterrupt
            original(self, current_iter)

        patch.setattr(CumulativeScaleModel, "optimize_parameters", optimize_parameters)
        assert train("-opt", option_file, *settings) == 130
    state = torch.load(tmp_path / "experiments/s1/training_states/4.state", weights_only=True)
    assert state["scaler"]["_growth_tracker"] + (state["scaler"]["scale"] != 65536.0) > 0
    assert train("-opt", option_file, *settings, "--auto_resume") == 0
    last = torch.load(tmp_path / "experiments/s1/training_states/6.state", weights_only=True)
    whole = torch.load(tmp_path / "whole/experiments/s1/training_states/6.state", weights_only=True)
    assert last["scaler"] == whole["scaler"]
    for name, value in weights(tmp_path / "whole", "s1").items():
        assert torch.equal(weights(tmp_path, "s1")[name], value)


def test_a_changed_schedule_is_applied_and_reported_on_a_resume(option_file, tmp_path, capsys):
    assert train("-opt", option_file, "--set", "train.total_iter=4") == 0
    changed = ["train.scheduler.milestones=[5]", "train.scheduler.gamma=0.1", "datasets.train.seed=7"]
    assert train("-opt", option_file, "--auto_resume", "--set", *changed) == 0
    log = log_of(tmp_path, "s1")
    (message,) = [line for line in log.splitlines() if "options that have changed" in line]
    for change in (
        "train.total_iter 4 -> 6",
        "train.scheduler.milestones [3] -> [5]",
        "train.scheduler.gamma 0.5 -> 0.1",
        "datasets.train.seed 3 -> 7",
    ):
        assert change in message
    steps = [line for line in log.splitlines() if "iter:" in line and "lr:(" in line]
    assert "iter:       5, lr:(1.000e-03" in steps[0]  # as if the milestone at 3 had never been
    assert "iter:       6, lr:(1.000e-04" in steps[1]


def test_a_cosine_run_can_be_made_longer(option_file, tmp_path):
    options = stage_options(tmp_path / "hr", 1, name="s1", total_iter=4)
    options["train"]["scheduler"] = {"type": "CosineAnnealingRestartLR", "periods": [4], "eta_min": 1e-6}
    assert train("-opt", write_yaml(tmp_path / "cosine.yml", options)) == 0
    longer = ["train.total_iter=6", "train.scheduler.periods=[6]"]
    assert train("-opt", "cosine.yml", "--auto_resume", "--set", *longer) == 0
    steps = [line for line in log_of(tmp_path, "s1").splitlines() if "iter:" in line and "lr:(" in line]
    expected = [1e-6 + (1e-3 - 1e-6) * (1 + math.cos(math.pi * step / 6)) / 2 for step in (4, 5)]
    assert [f"lr:({value:.3e}" in step for value, step in zip(expected, steps, strict=True)] == [True, True]


def test_an_unchanged_resume_reports_no_change(option_file, tmp_path):
    assert train("-opt", option_file, "--set", "train.total_iter=4") == 0
    (tmp_path / "experiments/s1/models/net_g_latest.pth").unlink()
    assert train("-opt", option_file, "--auto_resume", "--set", "train.total_iter=4") == 0
    assert "have changed" not in log_of(tmp_path, "s1")


def test_a_total_below_the_finished_steps_is_refused(option_file, tmp_path, capsys):
    assert train("-opt", option_file) == 0
    (tmp_path / "experiments/s1/models/net_g_latest.pth").unlink()
    assert train("-opt", option_file, "--auto_resume", "--set", "train.total_iter=3") != 0
    assert "train.total_iter: 3, but the state to resume from is of step 6" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("train.grad_clip=0", "train.grad_clip: expected more than 0"),
        ("train.max_skipped=-1", "train.max_skipped: expected at least 0"),
        ("train.timeout=0", "train.timeout: expected more than 0 minutes, got 0"),
        ("train.accumulate=0", "train.accumulate: expected at least 1"),
        ("train.accumulate=3", "train.accumulate: 3 parts of datasets.train.batch_size_per_gpu, 2, would differ"),
        ("train.amp=float8", "train.amp: expected true or false or bfloat16 or float16, got 'float8'"),
    ],
)
def test_invalid_training_settings_are_refused(option_file, setting, message, capsys):
    assert train("-opt", option_file, "--set", setting) == 2
    assert message in capsys.readouterr().err
