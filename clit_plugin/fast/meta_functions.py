"""PyTorch's functions on the device ``meta``: autocast as on a GPU, and an error where the host would read a value."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_map

_READ = ("item", "tolist", "numpy", "__bool__", "__float__", "__int__", "__index__")
# The part of autocast's lists that the package's networks use: what is computed in the lower precision, what is not.
_LOWER = (
    "conv1d",
    "conv2d",
    "conv_transpose2d",
    "linear",
    "matmul",
    "__matmul__",
    "__rmatmul__",
    "mm",
    "bmm",
    "addmm",
    "baddbmm",
    "einsum",
    "prelu",
    "scaled_dot_product_attention",
)
_FLOAT32 = ("softmax", "log_softmax", "layer_norm", "norm", "exp", "pow", "__pow__", "sum", "prod", "l1_loss", "cumsum")


class HostWaitError(Exception):
    """The host would wait here for the accelerator, for a value or a size that it computes."""


class MetaFunctions(TorchFunctionMode):
    """Raises ``HostWaitError`` where a value of ``device`` is read, and casts as autocast would there.

    Args:
        device: One that autocast does not know.
        autocast: The lower precision; None for no autocast.
    """

    def __init__(self, device: torch.device, autocast: torch.dtype | None) -> None:
        super().__init__()
        self.device, self.autocast = device, autocast
        self.cast: dict[int, tuple[Tensor, Tensor]] = {}  # of weights, each of which is cast once

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        name = getattr(func, "__name__", "")
        if name in _READ and args[0].device == self.device:
            raise HostWaitError(name)
        if self.autocast is not None and name in _LOWER:
            args, kwargs = self._each(self._lower, (args, kwargs))
        elif self.autocast is not None and name in _FLOAT32:
            args, kwargs = self._each(lambda t: t.float() if t.dtype == self.autocast else t, (args, kwargs))
        try:
            return func(*args, **kwargs)
        except NotImplementedError as error:  # as of an index that is a mask, whose size is unknown
            if "nonzero" in str(error):
                raise HostWaitError(name) from error
            raise

    def _each(self, how: Callable[[Tensor], Tensor], values: Any) -> Any:
        return tree_map(lambda t: how(t) if isinstance(t, Tensor) and t.device == self.device else t, values)

    def _lower(self, tensor: Tensor) -> Tensor:
        if tensor.dtype != torch.float32:
            return tensor
        if not (tensor.is_leaf and tensor.requires_grad):
            return tensor.to(self.autocast)
        if id(tensor) not in self.cast:
            self.cast[id(tensor)] = tensor, tensor.to(self.autocast)
        return self.cast[id(tensor)][1]
