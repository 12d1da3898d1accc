"""Scratch memory that is reused."""

import math
import threading

from torch import Tensor


class Buffers:
    """Scratch memory for a computation in many parts: allocating anew would take as long as the arithmetic.

    Every thread has its own.
    """

    def __init__(self) -> None:
        self._local = threading.local()

    def get(self, name: str, like: Tensor, *shape: int) -> Tensor:
        """An uninitialised contiguous tensor of this shape; it is overwritten when the name is asked for again."""
        flat: dict[str, Tensor] = self._local.__dict__
        size = math.prod(shape)
        if name not in flat or flat[name].numel() < size:
            flat[name] = like.new_empty(size)
        return flat[name][:size].view(shape)
