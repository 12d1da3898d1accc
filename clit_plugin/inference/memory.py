"""Too little memory, told in one line: before the work where that can be foreseen, else when it fails."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from clit_plugin.ops.sizes import by
from clit_plugin.utils.byte_sizes import byte_size
from clit_plugin.utils.errors import UserError
from clit_plugin.utils.memory_left import memory_left

_BYTES_PER_PIXEL = 36  # of an output: three colours in float32, as residual, as image and on their way to a file


def check_memory(size: tuple[int, int], device: torch.device, *, name: str) -> None:
    """Raise UserError where an output of (H, W) ``size`` alone is more than ``device`` has left.

    A CPU would otherwise promise the memory, and the system kill the process later.
    """
    needed, free = _BYTES_PER_PIXEL * size[0] * size[1], memory_left(device)
    if free is not None and needed > free:
        raise UserError(
            f"{name}: an output of {by(size)} pixels takes about {byte_size(needed)}, and {device} has "
            f"{byte_size(free)} left; give a smaller scale or size"
        )


@contextmanager
def memory_errors(name: str, device: torch.device, remedy: str) -> Iterator[None]:
    """Turn what torch raises for lack of memory into a UserError with a remedy."""
    try:
        yield
    except RuntimeError as error:
        if isinstance(error, torch.OutOfMemoryError) or "alloc" in str(error):
            raise UserError(f"{name}: not enough memory on {device}; give {remedy}") from error
        raise
