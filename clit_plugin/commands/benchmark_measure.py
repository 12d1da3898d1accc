"""Seconds and bytes of a case of ``clit benchmark``, on both paths in turn."""

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from clit_plugin.commands.benchmark_cases import Case
from clit_plugin.commands.benchmark_runs import TimedCase, difference, factorised_macs
from clit_plugin.utils.errors import UserError


def measure(case: Case, repeats: int, device: torch.device, network: dict[str, Any]) -> dict[str, Any]:
    """Figures of one case; times in seconds, memory in bytes, rates in FLOP/s."""
    fast, reference = (TimedCase(case, reference=path, device=device, network=network) for path in (False, True))
    agreement = difference(fast(), reference())  # and both are warm
    times: dict[str, list[float]] = {"fast": [], "reference": []}
    rates = []
    for _ in range(repeats):
        rates.append(_matrix_rate(device))
        # The fast path is short: more of its runs cost little and steady its median.
        times["fast"] += [_seconds(fast, device) for _ in range(3)]
        times["reference"].append(_seconds(reference, device))
        sys.stderr.write(".")
        sys.stderr.flush()
    row: dict[str, Any] = {"case": case.name, "times": times, "agreement": agreement}
    row["fast"], row["reference"] = (statistics.median(values) for values in times.values())
    row["ratio"] = row["reference"] / row["fast"]
    row["matrix_rate"] = statistics.median(rates)
    if not case.batch:
        row["floor"] = 2 * factorised_macs(fast) / row["matrix_rate"]
        row["share_of_floor"] = row["floor"] / row["fast"]
    row["memory"] = {path: _memory(case, path, device, network) for path in times}
    return row


def _seconds(work: Callable[[], Any], device: torch.device) -> float:
    _wait(device)
    start = time.perf_counter()
    work()
    _wait(device)
    return time.perf_counter() - start


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _matrix_rate(device: torch.device, n: int = 2048) -> float:
    """FLOP/s of a large float32 matrix product, the best of a few runs, as an estimate of the machine's peak."""
    a, b = torch.rand(n, n, device=device), torch.rand(n, n, device=device)
    out = a @ b
    return 2 * n**3 / min(_seconds(lambda: torch.mm(a, b, out=out), device) for _ in range(5))


def _memory(case: Case, path: str, device: torch.device, network: dict[str, Any]) -> int:
    command = [sys.executable, "-m", "clit_plugin", "benchmark", "--case", case.name, "--memory-of", path]
    command += ["--device", device.type, "--network", json.dumps(network)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise UserError(f"{case.name}: the child process that measures memory failed: {done.stderr.strip()}")
    return int(json.loads(done.stdout.splitlines()[-1]))


def peak_memory(case: Case, reference: bool, device: torch.device, network: dict[str, Any]) -> int:
    """Peak memory of one run in bytes, beyond what the process, the network and the inputs already use."""
    work = TimedCase(case, reference=reference, device=device, network=network)
    if device.type == "cuda":
        before = torch.cuda.memory_allocated(device)
        work()
        return torch.cuda.max_memory_allocated(device) - before
    before = _resident("VmRSS")
    work()
    return max(0, _resident("VmHWM") - before)


def _resident(name: str) -> int:
    """Resident memory in bytes (VmRSS), or its peak (VmHWM; that of getrusage includes the parent process)."""
    status = Path("/proc/self/status").read_text()
    return next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith(name))
