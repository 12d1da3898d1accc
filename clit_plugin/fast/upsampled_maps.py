"""3x3 convolutions of a bilinearly upsampled map, computed on the small map.

Bilinear resizing and a product with a matrix commute, so that conv3x3(up(Z)) = sum over the taps t of
shift_t(up(W_t Z)): the C x C products are done once per pixel of Z, and what is left is interpolation, which is
separable. Both zero paddings, of the resizing and of the convolution, are kept.
"""

import torch
from torch import Tensor

from clit_plugin.fast.axis import hat_weights, map_position
from clit_plugin.ops.coordinates import pixel_centres


def tap_products(feature: Tensor, weight: Tensor) -> Tensor:
    """W_t Z for the nine taps.

    Args:
        feature: Z, (C, h, w).
        weight: (D, C, 3, 3).

    Returns:
        (3, 3, h, w, D): tap column, tap row, then the pixels of Z.
    """
    c, h, w = feature.shape
    matrices = weight.permute(3, 2, 1, 0).reshape(9, c, -1)  # (tap column, tap row), C, D
    pixels = feature.flatten(1).T.contiguous()  # h * w, C
    return torch.bmm(pixels.expand(9, -1, -1), matrices).view(3, 3, h, w, -1)


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


def interpolate_taps(products: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """The convolved map on a tile, without the convolution's bias.

    Args:
        products: From ``tap_products``, (3, 3, h, w, D).
        rows: From ``tap_interpolation``, (R, 3, h).
        columns: Likewise, (S, 3, w).

    Returns:
        (R, S, D).
    """
    _, _, h, w, d = products.shape
    tall = rows.flatten(1) @ products.reshape(3, 3 * h, w * d)  # tap column, R, w * D
    tall = tall.view(3, -1, w, d).transpose(0, 1).reshape(-1, 3 * w, d)  # R, (tap column, w), D
    return columns.flatten(1) @ tall
