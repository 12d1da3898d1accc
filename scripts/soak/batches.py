"""Memory and open files of a training over many batches."""

import json
import subprocess
import sys
import time
from pathlib import Path

from train_helpers import stage_options, write_images, write_yaml

_WORKERS = 2
_ROWS = 12


def batches(folder: Path, number: int) -> tuple[bool, list[str]]:
    """Train for ``number`` batches, with workers, checkpoints, validations and several epochs.

    Memory counts as flat if its mean over the last quarter is less than 5 % above that over the second. The number of
    open files varies from batch to batch; it counts as flat if its maximum over the last quarter exceeds the one before
    by at most 1.
    """
    images = write_images(folder / "hr", 4, (48, 52))
    options = stage_options(images, 2, name="long", total_iter=number)
    options["datasets"]["train"] |= {"num_worker_per_gpu": _WORKERS, "dataset_enlarge_ratio": max(number // 20, 10)}
    options["logger"] |= {"save_checkpoint_freq": max(number // 20, 10), "keep": 2, "print_freq": 5}
    options["val"]["val_freq"] = max(number // 20, 10)
    options["train"]["scheduler"]["milestones"] = [number // 2]
    write_yaml(folder / "long.yml", options)
    command = [sys.executable, "-m", "clit_plugin.train", "-q", "-opt", "long.yml"]
    with (folder / "output.txt").open("wb") as output:
        process = subprocess.Popen(command, cwd=folder, stdout=output, stderr=output)
        samples: dict[int, tuple[float, int, int]] = {}
        while process.poll() is None:
            batch = _batch(folder / "experiments/long/curves.jsonl")
            usage = _usage(process.pid)
            if batch and usage and batch < number:  # after the last batch, processes end
                samples[batch] = usage
            time.sleep(0.1 if number < 2000 else 1)
    quarters = [[usage for batch, usage in samples.items() if batch * 4 // number == n] for n in (1, 3)]
    text = (folder / "output.txt").read_text(errors="replace").strip().splitlines()
    if process.returncode or not all(quarters):
        return False, [f"NOT WELL: exit status {process.returncode}; {' '.join(text[-1:])}"]
    memory, memory_late = (sum(usage[0] for usage in quarter) / len(quarter) for quarter in quarters)
    handles = max(usage[1] for batch, usage in samples.items() if batch * 4 // number < 3)
    handles_late = max(usage[1] for usage in quarters[1])
    flat = memory_late < 1.05 * memory and handles_late <= handles + 1
    chosen = sorted(samples)[:: max(len(samples) // _ROWS, 1)]
    return flat, [
        f"{number} batches with {_WORKERS} workers. Memory of the trainer, mean over the second and the last quarter: "
        f"{memory:.1f} and {memory_late:.1f} MB; open files of all processes, maximum before and in the last quarter: "
        f"{handles} and {handles_late}; flat: **{'yes' if flat else 'NO'}**.",
        "",
        "| batch | memory of the trainer, MB | open files, trainer and workers | processes |",
        "|---|---|---|---|",
        *(f"| {batch} | {samples[batch][0]:.1f} | {samples[batch][1]} | {samples[batch][2]} |" for batch in chosen),
    ]


def _batch(curves: Path) -> int | None:
    """The last batch in the curves file."""
    try:
        with curves.open("rb") as file:
            file.seek(0, 2)
            file.seek(max(file.tell() - 2000, 0))
            return int(json.loads(file.read().splitlines()[-1])["iter"])
    except (OSError, ValueError, IndexError, KeyError):
        return None


def _usage(pid: int) -> tuple[float, int, int] | None:
    """Memory of the process in MB, open files of it and its workers, and the number of these processes."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
        memory = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS")) / 1024
        processes = [pid, *_children(pid)]
        return memory, sum(len(list(Path(f"/proc/{one}/fd").iterdir())) for one in processes), len(processes)
    except (OSError, StopIteration):
        return None


def _children(pid: int) -> list[int]:
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return [int(child) for task in tasks for child in (task / "children").read_text().split()]
