"""Weights in autocast's dtype, all cast at once."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from clit_plugin.archs.decoder import Decoder


@contextmanager
def cast_together(net: nn.Module, dtype: torch.dtype | None) -> Iterator[None]:
    """Inside, layers have their weights in ``dtype``; gradients reach the weights themselves.

    Autocast would do the same layer by layer, weights and biases one by one, and their gradients likewise: some two
    hundred kernels a step, where this takes a few. Layers are convolutions and linear ones, which use their weights in
    no other way; the first ones of decoders keep them.

    Args:
        net: The network.
        dtype: Autocast's; None to do nothing.
    """
    found = [] if dtype is None else _weights(net)
    if not found:
        yield
        return
    cast = _Cast.apply(dtype, *(module._parameters[name] for module, name in found))
    kept = [module._parameters[name] for module, name in found]
    try:
        for (module, name), weight in zip(found, cast, strict=True):
            module._parameters[name] = weight
        yield
    finally:
        for (module, name), weight in zip(found, kept, strict=True):
            module._parameters[name] = weight


def _weights(net: nn.Module) -> list[tuple[nn.Module, str]]:
    """Trained float32 weights and biases of the layers; of several names of one layer the first."""
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
        given = iter(_copies([grad for grad in grads if grad is not None], torch.float32))
        return None, *(None if grad is None else next(given) for grad in grads)


def _copies(tensors: Any, dtype: torch.dtype) -> list[Tensor]:
    copies = [torch.empty_like(tensor, dtype=dtype) for tensor in tensors]
    if copies:
        torch._foreach_copy_(copies, list(tensors))
    return copies
