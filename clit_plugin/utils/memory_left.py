"""Free memory of a device."""

from pathlib import Path

import torch

_GROUP = Path("/sys/fs/cgroup")


def memory_left(device: torch.device | None = None, *, group: Path = _GROUP) -> int | None:
    """Free bytes of a device, or None if the system does not report them.

    Args:
        device: The device; by default the CPU.
        group: Folder of the control group that may limit main memory, as in a container.
    """
    if device is not None and device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    known = [free for free in (_of_machine(), _of_group(group)) if free is not None]
    return min(known, default=None)


def _of_machine() -> int | None:
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))
    except (OSError, StopIteration, ValueError, IndexError):
        return None


def _of_group(folder: Path) -> int | None:
    """Free bytes below the limit of a control group (version 2); its page cache counts as free."""
    try:
        limit, used = (int((folder / name).read_text(encoding="ascii")) for name in ("memory.max", "memory.current"))
        stat = dict(line.split() for line in (folder / "memory.stat").read_text(encoding="ascii").splitlines())
        return max(limit - used + int(stat.get("inactive_file", 0)), 0)
    except (OSError, ValueError):  # no such group, or "max": no limit
        return None
