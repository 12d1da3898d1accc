"""A resume skips damaged checkpoints and continues from the newest intact pair."""

import json
import shutil

import pytest
import torch
from train_helpers import stage_options, train, weights, write_images, write_yaml


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A run of 6 steps with checkpoints every 2, and its option file; not to be changed."""
    folder = tmp_path_factory.mktemp("finished")
    images = write_images(folder / "hr", 2, (40, 44))
    options = stage_options(images, 1, name="s1", total_iter=6)
    options["val"]["val_freq"] = 100
    file = write_yaml(folder / "s1.yml", options)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert train("-opt", file) == 0
    return folder


@pytest.fixture
def run(finished, tmp_path, monkeypatch):
    """A copy of that run without its last weights, as a crash at its end would leave it; the working directory."""
    shutil.copytree(finished / "experiments", tmp_path / "experiments")
    shutil.copy(finished / "s1.yml", tmp_path)
    (tmp_path / "experiments/s1/models/net_g_latest.pth").unlink()
    monkeypatch.chdir(tmp_path)
    return tmp_path / "experiments/s1"


def tear(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def without(key):
    def spoil(path):
        content = torch.load(path, weights_only=True)
        del content[key]
        torch.save(content, path)

    return spoil


def make_nan(path):
    content = torch.load(path, weights_only=True)
    next(iter(content["params_ema"].values()))[0] = float("nan")
    torch.save(content, path)


SPOILED = {
    "torn": tear,
    "empty": lambda path: path.write_bytes(b""),
    "garbage": lambda path: path.write_bytes(b"garbage" * 100),
}


@pytest.mark.parametrize("spoil", [*SPOILED.values(), without("optimizers")], ids=[*SPOILED, "without a key"])
def test_a_damaged_state_is_set_aside_and_the_one_before_it_is_used(run, finished, capsys, spoil):
    spoil(run / "training_states/6.state")
    assert train("-opt", "s1.yml", "--auto_resume") == 0
    lines = [line for line in capsys.readouterr().err.splitlines() if "set aside" in line]
    assert len(lines) == 1
    assert lines[0].startswith("experiments/s1/training_states/6.state: ")
    assert lines[0].endswith("set aside as 6.state.damaged")
    assert (run / "training_states/6.state.damaged").is_file()
    for key, value in weights(finished, "s1").items():
        assert torch.equal(weights(run.parents[1], "s1")[key], value)


@pytest.mark.parametrize(
    "spoil", [*SPOILED.values(), without("params"), make_nan], ids=[*SPOILED, "without a key", "not finite"]
)
def test_damaged_weights_are_set_aside_with_their_state(run, finished, spoil, capsys):
    spoil(run / "models/net_g_6.pth")
    assert train("-opt", "s1.yml", "--auto_resume") == 0
    assert "net_g_6.pth.damaged" in capsys.readouterr().err
    assert (run / "models/net_g_6.pth.damaged").is_file()
    assert (run / "training_states/6.state.without_weights").is_file()
    for key, value in weights(finished, "s1").items():
        assert torch.equal(weights(run.parents[1], "s1")[key], value)


def test_a_state_without_weights_is_set_aside(run):
    (run / "models/net_g_6.pth").unlink()
    assert train("-opt", "s1.yml", "--auto_resume") == 0
    assert (run / "training_states/6.state.without_weights").is_file()


def test_a_state_whose_name_is_not_a_step_is_skipped(run):
    (run / "training_states/backup.state").write_bytes(b"mine")
    assert train("-opt", "s1.yml", "--auto_resume") == 0
    assert (run / "training_states/backup.state").read_bytes() == b"mine"


def test_damaged_latest_weights_are_restored_from_the_last_pair(run, finished, capsys):
    shutil.copy(finished / "experiments/s1/models/net_g_latest.pth", run / "models")
    tear(run / "models/net_g_latest.pth")
    assert train("-opt", "s1.yml", "--auto_resume") == 0
    assert "set aside as net_g_latest.pth.damaged" in capsys.readouterr().err
    for key, value in weights(finished, "s1").items():
        assert torch.equal(weights(run.parents[1], "s1")[key], value)


def test_a_state_named_by_the_user_is_refused_if_damaged_or_without_weights(run, capsys):
    state = run / "training_states/4.state"
    (run / "models/net_g_4.pth").unlink()
    assert train("-opt", "s1.yml", "--set", f"path.resume_state={state}") == 2
    assert "of step 4, whose weights are missing: experiments/s1/models/net_g_4.pth" in capsys.readouterr().err
    tear(state)
    assert train("-opt", "s1.yml", "--set", f"path.resume_state={state}") == 2
    assert "not a checkpoint that can be read safely" in capsys.readouterr().err


def test_only_the_newest_checkpoints_are_kept_on_request(finished, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    settings = ["logger.keep=2", "logger.save_checkpoint_freq=1"]
    assert train("-opt", str(finished / "s1.yml"), "--set", *settings) == 0
    run = tmp_path / "experiments/s1"
    assert sorted(path.name for path in (run / "training_states").iterdir()) == ["5.state", "6.state"]
    kept = sorted(path.name for path in (run / "models").iterdir())
    assert kept == ["net_g_5.pth", "net_g_6.pth", "net_g_latest.pth"]


@pytest.mark.parametrize(("better", "pick"), [("higher", max), ("lower", min)])
def test_the_best_weights_by_a_metric_are_kept(finished, tmp_path, monkeypatch, better, pick):
    monkeypatch.chdir(tmp_path)
    metric = f"val.metrics.score={{type: psnr_float, better: {better}}}"
    settings = [metric, "logger.keep_best=score", "val.val_freq=1", "logger.save_checkpoint_freq=1"]
    settings += ["train.optim_g.lr=0.03"]  # so that it is not the last that is best
    assert train("-opt", str(finished / "s1.yml"), "--set", *settings) == 0
    run = tmp_path / "experiments/s1"
    lines = [line for line in (run / "curves.jsonl").read_text().splitlines() if '"metrics"' in line]
    scores = {line["iter"]: line["metrics"]["score"] for line in map(json.loads, lines)}
    best = pick(scores, key=scores.__getitem__)
    content = torch.load(run / "models/net_g_best.pth", weights_only=True)
    assert content["iter"] == best
    assert content["best"]["value"] == pytest.approx(scores[best])
    for key, value in weights(tmp_path, "s1", f"net_g_{best}.pth").items():
        assert torch.equal(weights(tmp_path, "s1", "net_g_best.pth")[key], value)


def test_a_metric_to_keep_the_best_by_must_be_one_of_the_run(finished, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert train("-opt", str(finished / "s1.yml"), "--set", "logger.keep_best=pnsr") == 2
    assert "logger.keep_best: expected one of psnr, got 'pnsr'; did you mean psnr?" in capsys.readouterr().err
