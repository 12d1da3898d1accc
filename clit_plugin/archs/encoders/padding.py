"""Padding for networks that need multiples of a size."""

import torch
from torch import Tensor


def pad_to_multiple(x: Tensor, multiple: int) -> Tensor:
    """Mirror an image at its lower and right borders until both sides are multiples.

    The border pixel is repeated, as in numpy's ``symmetric`` mode, and an image smaller than the padding is mirrored
    again and again; ``F.pad`` can do neither.

    Args:
        x: (B, C, H, W), any H and W.
        multiple: At least 1.

    Returns:
        (B, C, H', W'), the smallest such size; ``x`` itself if both sides are multiples already.
    """
    for dim in (-2, -1):
        n = x.shape[dim]
        if n % multiple:
            index = torch.arange(n + multiple - n % multiple, device=x.device) % (2 * n)
            x = x.index_select(dim, torch.minimum(index, 2 * n - 1 - index))
    return x
