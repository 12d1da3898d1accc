"""Memory that is used again."""

import math

from torch import Tensor


class Buffers:
    """Memory that the parts of a long computation use in turn: fresh memory costs as much time as the arithmetic."""

    def __init__(self) -> None:
        self._flat: dict[str, Tensor] = {}

    def get(self, name: str, like: Tensor, *shape: int) -> Tensor:
        """An uninitialised contiguous tensor of this shape; it is overwritten when the name is asked for again."""
        size = math.prod(shape)
        if name not in self._flat or self._flat[name].numel() < size:
            self._flat[name] = like.new_empty(size)
        return self._flat[name][:size].view(shape)
