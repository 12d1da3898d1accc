"""Coordinates and cells, as LIIF defines them (Chen et al., CVPR 2021).

An image spans [-1, 1] on both axes, in the order (y, x): on an axis of n pixels, each is 2 / n wide.
"""

import torch
from torch import Tensor

from clit_plugin.ops.sizes import Size


def pixel_centres(n: int, *, device: torch.device | None = None, dtype: torch.dtype | None = None) -> Tensor:
    """Centres of the n pixels of an axis, (n,), ascending, in (-1, 1)."""
    return centres_at(torch.arange(n, device=device, dtype=dtype or torch.get_default_dtype()), n)


def centres_at(index: Tensor, n: int) -> Tensor:
    """Centres of some pixels of an axis of n: (...), whole numbers of a floating dtype, -> (...)."""
    half = 1.0 / n
    return half - 1.0 + 2.0 * half * index


def make_coord(size: Size, *, device: torch.device | None = None, dtype: torch.dtype | None = None) -> Tensor:
    """Pixel centres of an image of ``size`` (H, W), row by row: (H * W, 2)."""
    axes = [pixel_centres(n, device=device, dtype=dtype) for n in size]
    return torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1).flatten(0, 1)


def make_cell(size: Size, *, device: torch.device | None = None, dtype: torch.dtype | None = None) -> Tensor:
    """Height and width of a pixel of an image of ``size`` (H, W): (2,) = (2 / H, 2 / W)."""
    return torch.tensor([2.0 / n for n in size], device=device, dtype=dtype or torch.get_default_dtype())


def size_tensor(size: Size, like: Tensor) -> Tensor:
    """``size`` as (2,), with device and dtype of ``like``; filled there, as a copy from the host would block."""
    return torch.stack([torch.full((), float(n), device=like.device, dtype=like.dtype) for n in size])


def nearest_index(coord: Tensor, size: Size) -> Tensor:
    """Row and column of the pixel nearest to each coordinate.

    A coordinate on the border between two pixels goes to the even one, as in ``grid_sample``'s ``nearest`` mode,
    which the original code uses.

    Args:
        coord: (..., 2) in [-1, 1].
        size: (H, W) of the image.

    Returns:
        (..., 2) int64, rows in [0, H - 1] and columns in [0, W - 1].
    """
    extent = size_tensor(size, coord)
    index = torch.round((coord + 1.0) * (extent / 2.0) - 0.5)
    return torch.minimum(index.clamp_min(0.0), extent - 1.0).long()


def local_grid_offsets(grid: Size, *, device: torch.device | None = None) -> Tensor:
    """Offsets in pixels from the centre of a local grid of (G_h, G_w) pixels, both odd: (G_h * G_w, 2) int64."""
    axes = [torch.arange(-(n // 2), n // 2 + 1, device=device) for n in grid]
    return torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1).flatten(0, 1)


def relative_coordinates(coord: Tensor, index: Tensor, offsets: Tensor, size: Size) -> Tensor:
    """Position of each query relative to the pixels of its local grid (eq. 2).

    The unit is half an LR pixel, so that neighbouring grid points differ by 2. The order of operations is that of the
    original: the highest frequencies of the positional encoding magnify rounding errors a thousandfold.

    Args:
        coord: (B, Q, 2) in [-1, 1].
        index: (B, Q, 2), the centre pixel of each query's grid.
        offsets: (N, 2), from ``local_grid_offsets``.
        size: (H, W) of the feature map that contains the grid.

    Returns:
        (B, Q, N, 2).
    """
    axes = [pixel_centres(n, device=coord.device, dtype=coord.dtype) for n in size]
    centre = torch.stack([axes[0][index[..., 0]], axes[1][index[..., 1]]], dim=-1)  # B, Q, 2
    extent = size_tensor(size, coord)
    grid = centre.unsqueeze(-2) + offsets.to(coord.dtype) * (2.0 / extent)  # B, Q, N, 2
    return (coord.unsqueeze(-2) - grid) * extent
