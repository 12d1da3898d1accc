"""Failing runs and damaged checkpoints: exit status, time until the end, and error message."""

import contextlib
import io
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from failing_helpers import failing_options, start_training
from train_helpers import stage_options, train, weights, write_images, write_yaml

from clit_plugin.commands.cli import main

_TIMEOUT = 300  # seconds, for runs that hang


@dataclass(frozen=True)
class Run:
    """A failing run, and how it is expected to end."""

    what: str
    says: str
    how: str = ""
    rank: str = "0"
    workers: int = 1
    processes: int = 1
    interrupted: bool = False
    damaged_image: bool = False
    at_most: float = 10  # seconds from the last step to the end; torchrun itself takes up to 30 to kill


RUNS = [
    Run("exception in a step", "ArithmeticError: no more of this", "raise"),
    Run("killed worker", "killed by signal: Killed", "worker"),
    Run("damaged training image", "0003.png", damaged_image=True),
    Run("Ctrl-C", "interrupted; saved checkpoints are kept", interrupted=True),
    Run("exception on rank 0 of 2", "ArithmeticError: no more of this", "raise", processes=2),
    Run("exception on rank 1 of 2", "ArithmeticError: no more of this", "raise", "1", 0, processes=2),
    Run("rank 1 of 2 killed", "", "die", "1", processes=2),
    Run(
        "rank 1 of 2 hangs, train.timeout 0.2",
        "all processes are waiting or stuck",
        "hang",
        "1",
        processes=2,
        at_most=35,
    ),
    Run("rank 1 of 2 frozen, train.timeout 0.2", "no answer from rank 1", "freeze", "1", processes=2, at_most=65),
    Run("Ctrl-C under torchrun", "interrupted; saved checkpoints are kept", processes=2, interrupted=True, at_most=25),
]


def run_failures(folder: Path, *, quick: bool) -> tuple[bool, list[str]]:
    """Run all of ``RUNS`` in separate processes; if ``quick``, only the first one, without checking its time."""
    rows, well = [], True
    for number, run in enumerate(RUNS[:1] if quick else RUNS):
        status, seconds, output = _fail(folder / str(number), run)
        lines = [line for line in output.splitlines() if line.startswith("clit train: ") and run.says in line]
        expected = status != 0 and (not run.says or len(lines) == 1) and (quick or seconds <= run.at_most)
        well = well and expected
        rows.append(_row(run.what, status, f"{seconds:.1f}", lines[0] if lines else "-", expected))
    return well, [
        "Seconds are counted from the last step, or the signal, to the end of the last process.",
        "",
        "| what | exit status | seconds | what it says | as expected |",
        "|---|---|---|---|---|",
        *rows,
    ]


def _row(what: str, status: int, seconds: str, line: str, expected: bool) -> str:
    line = line.partition(": ")[2].replace("|", "\\|")
    return f"| {what} | {status} | {seconds} | {line or '-'} | {'yes' if expected else 'NO'} |"


def _fail(folder: Path, run: Run) -> tuple[int, float, str]:
    """Exit status, seconds until the end, and stderr."""
    failing_options(folder, workers=run.workers, size=200 if run.damaged_image else 40)
    if run.damaged_image:
        image = folder / "hr/0003.png"
        image.write_bytes(image.read_bytes()[: image.stat().st_size // 2])
    environment = {"FAIL_HOW": run.how, "FAIL_RANK": run.rank} if run.how else {}
    timeout = "0.2" if "timeout" in run.what else "5"
    slow = {"STEP_TIME": "0.2"} if run.interrupted else {}
    settings = ("--set", f"train.timeout={timeout}")
    process = start_training(folder, *settings, processes=run.processes, **environment, **slow)
    last = 0.0
    if run.interrupted:
        _wait_for_state(folder, process)
        last = time.time()
        process.send_signal(signal.SIGINT)
    try:
        _, output = process.communicate(timeout=_TIMEOUT)
    except subprocess.TimeoutExpired:
        process.kill()
        return process.wait(), float("inf"), ""
    ended, curves = time.time(), folder / "experiments/failing/curves.jsonl"
    return process.returncode, ended - (last or (curves.stat().st_mtime if curves.exists() else ended)), output


def _wait_for_state(folder: Path, process: "subprocess.Popen[str]") -> None:
    deadline = time.monotonic() + _TIMEOUT
    while not list(folder.glob("experiments/failing/training_states/*.state")):
        if time.monotonic() > deadline or process.poll() is not None:
            raise RuntimeError("a run made no checkpoint")
        time.sleep(0.1)


# ------------------------------------------------------------------ checkpoints


def _tear(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def _garbage(path: Path) -> None:
    path.write_bytes(b"garbage" * 100)


def _nan(path: Path) -> None:
    content = torch.load(path, weights_only=True)
    next(iter(content["params_ema"].values()))[0] = float("nan")
    torch.save(content, path)


def _without_optimizers(path: Path) -> None:
    content = torch.load(path, weights_only=True)
    del content["optimizers"]
    torch.save(content, path)


STATE, WEIGHTS = "training_states/6.state", "models/net_g_6.pth"
DAMAGES: list[tuple[str, str, Callable[[Path], object]]] = [
    ("torn state", STATE, _tear),
    ("empty state", STATE, lambda path: path.write_bytes(b"")),
    ("state of garbage", STATE, _garbage),
    ("state without a key", STATE, _without_optimizers),
    ("torn weights", WEIGHTS, _tear),
    ("empty weights", WEIGHTS, lambda path: path.write_bytes(b"")),
    ("weights of garbage", WEIGHTS, _garbage),
    ("weights with NaN", WEIGHTS, _nan),
    ("state without its weights", WEIGHTS, lambda path: path.unlink()),
]


def checkpoint_failures(folder: Path, *, quick: bool) -> tuple[bool, list[str]]:
    """Resume from damaged checkpoints, diverge, and use NaN weights, all in this process."""
    images = write_images(folder / "hr", 2, (40, 44))
    options = stage_options(images, 1, name="s1", total_iter=6)
    options["val"]["val_freq"] = 100
    write_yaml(folder / "s1.yml", options)
    with _inside(folder):
        _run("train", "-opt", "s1.yml")
    good = weights(folder, "s1")
    rows, well = [], True
    for number, (what, where, damage) in enumerate(DAMAGES[:1] if quick else DAMAGES):
        place = folder / f"damage{number}"
        shutil.copytree(folder / "experiments", place / "experiments")
        run = place / "experiments/s1"
        (run / "models/net_g_latest.pth").unlink()
        damage(run / where)
        with _inside(place):
            status, output = _run("train", "-opt", "../s1.yml", "--auto_resume")
        lines = [line for line in output.splitlines() if "set aside" in line]
        same = status == 0 and all(torch.equal(value, good[key]) for key, value in weights(place, "s1").items())
        well = well and same and bool(lines)
        rows.append(_row(what, status, "-", f": {lines[0] if lines else ''}", same and bool(lines)))
    for what, says, expected, arguments in _diverging(folder):
        with _inside(folder):
            status, output = _run(*arguments)
        lines = [line for line in output.splitlines() if "error: " in line and says in line]
        as_expected = status == expected and len(lines) == 1
        well = well and as_expected
        rows.append(_row(what, status, "-", lines[0] if lines else output[-200:].replace("\n", " "), as_expected))
    finite = all(
        value.isfinite().all()
        for file in (folder / "experiments/nan/models").glob("*.pth")
        for value in weights(folder, "nan", file.name).values()
    )
    return well and finite, [
        "A damaged newest checkpoint is set aside, and the final weights are bit-identical to an undisturbed run's. "
        f"All weights that a diverging run has written are finite: **{'yes' if finite else 'NO'}**.",
        "",
        "| what | exit status | seconds | what it says | as expected |",
        "|---|---|---|---|---|",
        *rows,
    ]


def _diverging(folder: Path) -> Iterator[tuple[str, str, int, list[str]]]:
    """Name, part of the message, exit status and arguments of each command."""
    diverging = ["name=nan", "train.optim_g.lr=1e20", "train.total_iter=200", "val.val_freq=1000"]
    yield "learning rate 1e20", "not finite", 1, ["train", "-opt", "s1.yml", "--set", *diverging]
    shutil.copy(folder / "experiments/s1/models/net_g_latest.pth", folder / "nan.pth")
    _nan(folder / "nan.pth")
    out = ["--scale", "2", "-o", "out.png"]
    yield "upscale with NaN weights", "not finite", 2, ["upscale", "hr/0001.png", "--weights", "nan.pth", *out]
    pretrained = ["name=next", "path.pretrain_network_g=nan.pth", "path.param_key_g=params_ema"]
    yield "a stage on NaN weights", "not finite", 2, ["train", "-opt", "s1.yml", "--set", *pretrained]


def _run(*arguments: str) -> tuple[int, str]:
    """Run a command in this process; returns its exit status and stderr."""
    output = io.StringIO()
    with contextlib.redirect_stderr(output), contextlib.redirect_stdout(io.StringIO()):
        status = train(*arguments[1:]) if arguments[0] == "train" else main(list(arguments))
    return status, output.getvalue()


@contextlib.contextmanager
def _inside(folder: Path) -> Iterator[None]:
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)
