"""Gradient checkpointing: an encoder's blocks recompute their activations in the backward pass."""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint


def run_block(block: nn.Module, *inputs: Any, recompute: bool) -> Tensor:
    """block(*inputs); with ``recompute`` only the inputs are kept, and the backward pass runs the block again."""
    if recompute and torch.is_grad_enabled():
        return checkpoint(block, *inputs, use_reentrant=False)
    return block(*inputs)


def run_blocks(blocks: Iterable[nn.Module], x: Tensor, *, recompute: bool) -> Tensor:
    """The blocks one after the other, see ``run_block``."""
    for block in blocks:
        x = run_block(block, x, recompute=recompute)
    return x
