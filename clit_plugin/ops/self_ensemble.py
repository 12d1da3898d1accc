"""Geometric self-ensemble: the mean over rotations and flips of the image (Lim et al., CVPRW 2017, section 3.3)."""

from collections.abc import Callable

import torch
from torch import Tensor

from clit_plugin.ops.coordinates import Size


def upscale_ensemble(upscale: Callable[[Tensor, Size], Tensor], lq: Tensor, size: Size, views: int) -> Tensor:
    """Upscale an image in several orientations and average.

    Args:
        upscale: (B, 3, h, w) and (H, W) to (B, 3, H, W). By odd quarter turns it is asked for (W, H), so that scales
            that differ per axis turn with the image.
        lq: (B, 3, h, w).
        size: (H, W).
        views: 1: the image as it is; 4: its rotations; 8: those of its mirror image as well.

    Raises:
        ValueError: Another number of views.
    """
    if views not in (1, 4, 8):
        raise ValueError(f"views: expected 1, 4 or 8, got {views}")
    total = torch.zeros(())
    for view in range(views):
        mirrored, turns = divmod(view, 4)
        image = torch.rot90(lq.flip(-1) if mirrored else lq, turns, (-2, -1))
        result = upscale(image, size if turns % 2 == 0 else (size[1], size[0]))
        result = torch.rot90(result, -turns, (-2, -1))
        total = total.to(result) + (result.flip(-1) if mirrored else result)
    return total / views
