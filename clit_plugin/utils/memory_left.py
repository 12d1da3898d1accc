"""How much memory of a device is free."""

from pathlib import Path

import torch


def memory_left(device: torch.device | None = None) -> int | None:
    """Free bytes of a device, by default the CPU, or None where the system does not report them."""
    if device is not None and device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))
    except (OSError, StopIteration, ValueError, IndexError):
        return None
