"""Geometric self-ensemble: the mean over rotations and flips of the image (Lim et al., CVPRW 2017, section 3.3)."""

from collections.abc import Callable

import torch
from torch import Tensor

from clit_plugin.ops.parts import Part
from clit_plugin.ops.sizes import Size


def upscale_ensemble(upscale: Callable[[Tensor, Size], Tensor], lq: Tensor, size: Size, views: int) -> Tensor:
    """Upscale an image in several orientations and average.

    Args:
        upscale: (B, 3, h, w) and (H, W) to (B, 3, H, W). For odd quarter turns it gets (W, H), so that scales that
            differ per axis turn with the image.
        lq: (B, 3, h, w).
        size: (H, W).
        views: 1: the image itself; 4: its rotations; 8: also the rotations of its mirror image.

    Raises:
        ValueError: Another number of views.
    """
    return _mean(lambda image, mirrored, turns: upscale(image, size if turns % 2 == 0 else size[::-1]), lq, views)


def upscale_part_ensemble(
    upscale_part: Callable[[Tensor, Size, Part], Tensor], lq: Tensor, size: Size, part: Part, views: int
) -> Tensor:
    """The same for a part of the output, (B, 3, rows, columns); ``upscale_part`` as in ``ArbitraryScaleArch``."""
    given = (lq.shape[-2], lq.shape[-1])
    return _mean(
        lambda image, mirrored, turns: upscale_part(image, *_turned(part, size, given, mirrored, turns)), lq, views
    )


def _mean(upscale: Callable[[Tensor, bool, int], Tensor], lq: Tensor, views: int) -> Tensor:
    """The mean over the views; ``upscale`` gets the view, whether it is mirrored, and its number of quarter turns."""
    if views not in (1, 4, 8):
        raise ValueError(f"views: expected 1, 4 or 8, got {views}")
    total = torch.zeros(())
    for view in range(views):
        mirrored, turns = view >= 4, view % 4
        image = torch.rot90(lq.flip(-1) if mirrored else lq, turns, (-2, -1))
        result = torch.rot90(upscale(image, mirrored, turns), -turns, (-2, -1))
        total = total.to(result) + (result.flip(-1) if mirrored else result)
    return total / views


def _turned(part: Part, size: Size, given: Size, mirrored: bool, turns: int) -> tuple[Size, Part]:
    """The output's size and the part in the orientation of a view; ``given`` is the (h, w) of the LR part."""
    lq_size, (y, x), rows, columns = part
    if mirrored:
        x = lq_size[1] - x - given[1]
        columns = (size[1] - columns[1], size[1] - columns[0])
    for _ in range(turns):  # the right side becomes the top
        y, x = lq_size[1] - x - given[1], y
        rows, columns = (size[1] - columns[1], size[1] - columns[0]), rows
        lq_size, size, given = lq_size[::-1], size[::-1], given[::-1]
    return size, Part(lq_size, (y, x), rows, columns)
