"""An accelerator's memory, by which the parts of a computation are sized."""

import torch

_UNKNOWN = 24 * 2**30
_COUNTED = 80 * 10**9  # where nothing is computed, on the device ``meta``


def total_memory(device: torch.device) -> int:
    """Bytes of a GPU; 24 GB for another accelerator, and 80 GB for the device ``meta``, as of a large GPU."""
    if device.type == "cuda":
        return int(torch.cuda.get_device_properties(device).total_memory)
    return _COUNTED if device.type == "meta" else _UNKNOWN


def part_memory(device: torch.device) -> int:
    """Bytes that a part of a computation may take: an eighth of the memory, and a quarter of what is free."""
    total = total_memory(device)
    if device.type != "cuda":
        return total // 8
    cached = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return min(total // 8, (torch.cuda.mem_get_info(device)[0] + cached) // 4)
