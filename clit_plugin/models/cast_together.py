"""Casts the weights of a network to autocast's dtype, all at once."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from clit_plugin.archs.decoder import Decoder


@contextmanager
def cast_together(net: nn.Module, dtype: torch.dtype | None) -> Iterator[None]:
    """Within the context, layers hold their weights in ``dtype``; gradients flow to the original weights.

    Autocast would cast every weight, every bias and each of their gradients by itself: some two hundred kernels per
    step, where this takes a few. Only convolutions and linear layers are cast, but not the first layers of decoders,
    whose weights are also used outside of the layer.

    Args:
        net: The network.
        dtype: Autocast's dtype; None to do nothing.
    """
    targets = [] if dtype is None else _weights(net)
    if not targets:
        yield
        return
    originals = [module._parameters[name] for module, name in targets]
    casts = _Cast.apply(dtype, *originals)
    try:
        for (module, name), weight in zip(targets, casts, strict=True):
            module._parameters[name] = weight
        yield
    finally:
        for (module, name), weight in zip(targets, originals, strict=True):
            module._parameters[name] = weight


def _weights(net: nn.Module) -> list[tuple[nn.Module, str]]:
    """(module, name) of every trainable float32 weight and bias to cast; shared layers appear once."""
    first = {module.first for module in net.modules() if isinstance(module, Decoder)}
    return [
        (module, name)
        for module in net.modules()
        if type(module) in (nn.Conv2d, nn.Linear) and module not in first
        for name, weight in module._parameters.items()
        if weight is not None and weight.requires_grad and weight.dtype == torch.float32
    ]


class _Cast(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, dtype: torch.dtype, *weights: Tensor) -> tuple[Tensor, ...]:
        ctx.set_materialize_grads(False)
        return tuple(_copies(weights, dtype))

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[Tensor | None, ...]:
        copies = iter(_copies([grad for grad in grads if grad is not None], torch.float32))
        return None, *(None if grad is None else next(copies) for grad in grads)


def _copies(tensors: Any, dtype: torch.dtype) -> list[Tensor]:
    copies = [torch.empty_like(tensor, dtype=dtype) for tensor in tensors]
    if copies:
        torch._foreach_copy_(copies, list(tensors))
    return copies
