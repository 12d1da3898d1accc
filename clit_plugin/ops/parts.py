"""A part of an image's output, computed from a part of the image."""

from typing import NamedTuple

import torch
from torch import Tensor

from clit_plugin.ops.coordinates import Size, pixel_centres

Span = tuple[int, int]  # [start, stop)


class Part(NamedTuple):
    """Rows and columns of an output to compute, and the position of the given part of the LR image.

    lq_size: (H, W) of the whole LR image.
    origin: (y, x) of the first given LR pixel.
    rows: Rows of the output, [start, stop).
    columns: Columns of the output, [start, stop).
    """

    lq_size: Size
    origin: Size
    rows: Span
    columns: Span

    @property
    def shape(self) -> Size:
        """(rows, columns) of the part of the output."""
        return self.rows[1] - self.rows[0], self.columns[1] - self.columns[0]


def whole(lq_size: Size, size: Size) -> Part:
    """All of an output of (H_out, W_out) ``size``, from the whole image."""
    return Part(lq_size, (0, 0), (0, size[0]), (0, size[1]))


def span_below(span: Span, n: int, n_out: int, reach: int) -> Span:
    """LR pixels [start, stop) of an axis that lie below a span of the output's, and ``reach`` more on both sides."""
    return max(0, span[0] * n // n_out - reach), min(n, -(-span[1] * n // n_out) + reach)


def sample_bilinear_part(lq: Tensor, size: Size, part: Part, *, dtype: torch.dtype) -> Tensor:
    """The bilinear image on a part of the output, as by ``sample_bilinear`` with ``padding_mode="border"``.

    Args:
        lq: (B, C, h, w), the given part of the LR image; it contains all neighbours of the output pixels.
        size: (H_out, W_out) of the whole output.
        part: The part.
        dtype: Type of coordinates and result.

    Returns:
        (B, C, rows, columns).
    """
    image = lq.to(dtype)
    for axis, (start, stop) in ((-2, part.rows), (-1, part.columns)):
        n, origin = part.lq_size[axis], part.origin[axis]
        coord = pixel_centres(size[axis], device=lq.device, dtype=dtype)[start:stop]
        position = (((coord + 1.0) * n - 1.0) / 2.0).clamp(0, n - 1)
        lower = position.floor()
        weight = (position - lower).view(-1, *[1] * (-1 - axis))
        index = lower.long() - origin
        upper = (index + 1).clamp_max(n - 1 - origin)
        image = image.index_select(axis, index) * (1.0 - weight) + image.index_select(axis, upper) * weight
    return image
