"""SIGKILLs at random moments, each followed by a resume."""

import os
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import torch
from train_helpers import log_of, stage_options, weights, write_images, write_yaml

_STAGES = ("s1", "s2")
_OUTPUT = "stderr.txt"
_TIMEOUT = 300  # seconds until a run has started and saved a checkpoint


def kills(folder: Path, number: int) -> tuple[bool, list[str]]:
    """Kill a chain of two stages and its workers, resume it, and compare its final weights with an undisturbed chain's.

    Args:
        folder: Working folder, which is created.
        number: Number of kills; if a chain finishes before that, another one is started.
    """
    rng = random.Random(0)
    images = write_images(folder / "hr", 2, (40, 44))
    for stage, name in enumerate(_STAGES, start=1):
        options = stage_options(images, stage, name=name, total_iter=60 if number < 5 else 200)
        options["datasets"]["train"]["dataset_enlarge_ratio"] = 50
        write_yaml(folder / f"{name}.yml", options)
    whole = folder / "undisturbed"
    whole.mkdir()
    _wait(_start(whole, workers=0), whole)
    rows: list[list[object]] = []
    equal, chains = True, 0
    while len(rows) < number:
        chain = folder / f"chain{chains}"
        chain.mkdir()
        chains += 1
        ended = False
        while not ended:
            workers, before = rng.choice((0, 2)), _newest(chain)
            finished = before is not None and _last_weights(chain, before).exists()
            process = _start(chain, workers)
            killed = len(rows) < number and _kill(chain, process, before, rng)
            if not killed:
                _wait(process, chain)
            if before is not None:
                rows[-1].append("yes" if finished or _resumed(chain, before) else "NO")
            if killed:
                writing = bool(list(chain.glob("experiments/*/*/*.partial")))
                rows.append([len(rows) + 1, _place(_newest(chain)), workers, "yes" if writing else "no"])
            ended = not killed
        equal = equal and all(_same(whole, chain, name) for name in _STAGES)
    good = sum(row[-1] == "yes" for row in rows)
    lines = [
        f"{good} of {number} kills were followed by a resume at the newest checkpoint. The final weights of both "
        f"stages, in {chains} chain{'s' * (chains > 1)}, are bit-identical to those of an undisturbed chain: "
        f"**{'yes' if equal else 'NO'}**.",
        "",
        "| kill | newest checkpoint | workers | while writing | resumed there |",
        "|---|---|---|---|---|",
        *(f"| {' | '.join(map(str, row))} |" for row in rows),
    ]
    return equal and good == number, lines


def _start(folder: Path, workers: int) -> "subprocess.Popen[bytes]":
    files = [f"../{name}.yml" for name in _STAGES]
    setting = f"datasets.train.num_worker_per_gpu={workers}"
    command = [sys.executable, "-m", "clit_plugin.train", "-q", "--auto_resume", "--set", setting, "-opt", *files]
    with (folder / _OUTPUT).open("ab") as output:
        return subprocess.Popen(command, cwd=folder, stdout=output, stderr=output, start_new_session=True)


def _wait(process: "subprocess.Popen[bytes]", folder: Path) -> None:
    if status := process.wait(timeout=1200):
        output = (folder / _OUTPUT).read_text(encoding="utf-8")
        raise RuntimeError(f"a run ended with status {status}: {output[-2000:]}")


def _kill(folder: Path, process: "subprocess.Popen[bytes]", before: tuple[int, int] | None, rng: random.Random) -> bool:
    """Kill a run some time after its first new checkpoint; returns False if it ended before."""
    deadline = time.monotonic() + _TIMEOUT
    while _newest(folder) == before and process.poll() is None:
        if time.monotonic() > deadline:
            process.kill()
            raise RuntimeError("a run made no checkpoint")
        time.sleep(0.01)
    time.sleep(rng.uniform(0, 0.6))
    if process.poll() is not None:
        return False
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    return True


def _newest(folder: Path) -> tuple[int, int] | None:
    """Stage and step of the newest state."""
    states = [
        (stage, int(file.stem))
        for stage, name in enumerate(_STAGES, start=1)
        for file in folder.glob(f"experiments/{name}/training_states/*.state")
    ]
    return max(states, default=None)


def _place(state: tuple[int, int] | None) -> str:
    return "-" if state is None else f"stage {state[0]}, step {state[1]}"


def _last_weights(folder: Path, state: tuple[int, int]) -> Path:
    return folder / f"experiments/{_STAGES[state[0] - 1]}/models/net_g_latest.pth"


def _resumed(folder: Path, state: tuple[int, int]) -> bool:
    """Whether the newest log of the state's stage begins at its step."""
    log = log_of(folder, _STAGES[state[0] - 1])
    return re.findall(r"Resuming training from epoch: \d+, iter: (\d+)", log)[-1:] == [str(state[1])]


def _same(one: Path, other: Path, name: str) -> bool:
    first, second = weights(one, name), weights(other, name)
    return first.keys() == second.keys() and all(torch.equal(value, second[key]) for key, value in first.items())
