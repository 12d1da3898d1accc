"""An accelerator's memory, by which the parts of a computation are sized."""

import torch

_UNKNOWN = 24 * 2**30
_MAX_PART = 3 * 2**30  # of a part: more would save launches, but no time
_COUNTED = 80 * 10**9  # where nothing is computed, on the device ``meta``


def total_memory(device: torch.device) -> int:
    """Bytes of a GPU; 24 GB for another accelerator, and 80 GB for the device ``meta``, as of a large GPU."""
    if device.type == "cuda":
        return int(torch.cuda.get_device_properties(device).total_memory)
    return _COUNTED if device.type == "meta" else _UNKNOWN


def part_memory(device: torch.device) -> int:
    """Bytes that a part of a computation may take: an eighth of the memory, a quarter of what is free, at most 3 GB."""
    limit = min(_MAX_PART, total_memory(device) // 8)
    if device.type != "cuda":
        return limit
    cached = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return min(limit, (torch.cuda.mem_get_info(device)[0] + cached) // 4)
