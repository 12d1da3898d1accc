"""3x3 convolutions of a bilinearly upsampled map, computed on the small map.

Bilinear resizing and a product with a matrix commute, so that conv3x3(up(Z)) = sum over the taps t of
shift_t(up(W_t Z)): the C x C products are done once per pixel of Z, and what is left is interpolation, which is
separable. Both zero paddings, of the resizing and of the convolution, are kept.
"""

from typing import Any

import torch
from torch import Tensor

from clit_plugin.fast.axis import hat_weights, map_position
from clit_plugin.ops.coordinates import pixel_centres


def tap_products(pixels: Tensor, weight: Tensor) -> Tensor:
    """W_t Z for the nine taps.

    Args:
        pixels: Z of some images, (h, B, w, C).
        weight: (D, C, 3, 3).

    Returns:
        (3, h, B, w, 3, D): tap row, the pixels of Z, tap column. Rows and columns are then interpolated without copies.
    """
    h, b, w, c = pixels.shape
    matrices = weight.permute(2, 1, 3, 0).reshape(3, c, -1)  # tap row, C, (tap column, D)
    return torch.bmm(pixels.reshape(-1, c).expand(3, -1, -1), matrices).view(3, h, b, w, 3, -1)


def tap_interpolation(start: int, stop: int, size: int, n: int, first: int, last: int, like: Tensor) -> Tensor:
    """How the rows (or columns) [start, stop) of the convolved map depend on the pixels [first, last) of the small one.

    Args:
        start: First row; it may lie outside the upsampled map, where rows are zeros.
        stop: Behind the last row.
        size: Rows of the upsampled map.
        n: Rows of the small map.
        first: First row of the small map in use.
        last: Behind the last one in use.
        like: Gives device and dtype; weights are computed in float32 at least.

    Returns:
        (stop - start, 3, last - first): for each row and tap the weights of the small map's rows.
    """
    dtype = torch.promote_types(like.dtype, torch.float32)
    rows = torch.arange(start, stop, device=like.device).unsqueeze(-1)  # R, 1
    taps = rows + torch.arange(-1, 2, device=like.device)  # R, 3
    inside = (rows >= 0) & (rows < size) & (taps >= 0) & (taps < size)
    position = map_position(pixel_centres(size, device=like.device, dtype=dtype), n)[taps.clamp(0, size - 1)]
    weights = hat_weights(position, torch.arange(first, last, device=like.device))
    return (weights * inside.unsqueeze(-1)).to(like.dtype)


def source_range(start: int, stop: int, size: int, n: int) -> tuple[int, int]:
    """Pixels [first, last) of the small map on which the convolved rows [start, stop) depend."""
    scale = n / size
    first = int((max(start - 1, 0) + 0.5) * scale - 0.5) - 1
    last = int((min(stop, size) + 0.5) * scale - 0.5) + 3
    return max(first, 0), min(max(last, 1), n)


def interpolate_taps(
    products: Tensor, rows: Tensor, columns: Tensor, bias: Tensor, inside: tuple[slice, slice]
) -> Tensor:
    """The convolved map on a tile.

    Args:
        products: From ``tap_products``, (3, h, B, w, 3, D).
        rows: From ``tap_interpolation``, (R, 3, h).
        columns: Likewise, (S, 3, w).
        bias: Of the convolution, (D,).
        inside: Rows and columns of the tile that lie inside the map, where there is a bias.

    Returns:
        (R, B, S, D).
    """
    _, h, b, w, _, d = products.shape
    tall = rows.flatten(1) @ products.reshape(3 * h, -1)  # R, (B, w, tap column, D)
    tall = tall.view(-1, 3 * w, d)  # (R, B), (w, tap column), D
    taps = columns.transpose(1, 2).flatten(1)  # S, (w, tap column)
    tile = torch.bmm(taps.expand(len(tall), -1, -1), tall)
    tile = _AddInside.apply(tile, bias, b, inside)
    return tile.unflatten(0, (len(rows), b))


class _AddInside(torch.autograd.Function):
    """A bias, added in place to the inside of tiles (R * B, S, D); autograd's own gradient of this copies them."""

    @staticmethod
    def forward(ctx: Any, tile: Tensor, bias: Tensor, images: int, inside: tuple[slice, slice]) -> Tensor:
        ctx.images, ctx.inside, ctx.dtype = images, inside, bias.dtype
        ctx.mark_dirty(tile)
        _inside(tile, images, inside).add_(bias)
        return tile

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        return grad, _inside(grad, ctx.images, ctx.inside).sum((0, 1, 2)).to(ctx.dtype), None, None


def _inside(tile: Tensor, images: int, inside: tuple[slice, slice]) -> Tensor:
    return tile.unflatten(0, (-1, images))[inside[0], :, inside[1]]
