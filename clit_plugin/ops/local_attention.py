"""Cross-scale local attention (paper eq. 4 and 7): the plain reference path."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from clit_plugin.ops.coordinates import make_coord
from clit_plugin.ops.sizes import Size


def sample_bilinear(feature: Tensor, coord: Tensor, *, padding_mode: str = "zeros") -> Tensor:
    """Bilinear samples of a feature map.

    Args:
        feature: (B, C, H, W).
        coord: (B, Q, 2) in [-1, 1], order (y, x).
        padding_mode: Values outside the map, as in ``grid_sample``.

    Returns:
        (B, Q, C).
    """
    grid = coord.flip(-1).unsqueeze(1)  # B, 1, Q, 2 in grid_sample's order (x, y)
    sampled = F.grid_sample(feature, grid, mode="bilinear", padding_mode=padding_mode, align_corners=False)
    return sampled.squeeze(2).transpose(1, 2)  # B, Q, C


def resize_bilinear(feature: Tensor, size: Size) -> Tensor:
    """A feature map (B, C, H, W) resized to ``size`` (paper eq. 8).

    Outside the map are zeros, as in the released code: the border fades, where ``F.interpolate`` would repeat it.
    """
    b, c, _, _ = feature.shape
    coord = make_coord(size, device=feature.device, dtype=feature.dtype).expand(b, -1, -1)
    return sample_bilinear(feature, coord).transpose(1, 2).reshape(b, c, *size)


def pad_for_local_grid(feature: Tensor, grid: Size) -> Tensor:
    """Pad a feature map with the zeros that local grids of (G_h, G_w) pixels, both odd, read outside it.

    Args:
        feature: (B, C, H, W).
        grid: (G_h, G_w).

    Returns:
        (B, H + G_h - 1, W + G_w - 1, C), contiguous: ``gather_local_grid`` reads all channels of a pixel at once. Call
        it once per map, not once per chunk of queries.
    """
    pad_h, pad_w = grid[0] // 2, grid[1] // 2
    return F.pad(feature.permute(0, 2, 3, 1), (0, 0, pad_w, pad_w, pad_h, pad_h)).contiguous()


def gather_local_grid(padded: Tensor, index: Tensor, grid: Size) -> Tensor:
    """Features at the pixels of each query's local grid; zeros outside the map.

    Args:
        padded: From ``pad_for_local_grid`` with the same grid.
        index: (B, Q, 2), the centre pixel of each grid in the map without padding.
        grid: (G_h, G_w), odd.

    Returns:
        (B, Q, N, C) with N = G_h * G_w, row by row.
    """
    b, hp, wp, c = padded.shape
    rows = index[..., 0, None] + torch.arange(grid[0], device=index.device)  # B, Q, G_h: padding moves the grid
    cols = index[..., 1, None] + torch.arange(grid[1], device=index.device)  # B, Q, G_w
    flat = rows.unsqueeze(-1) * wp + cols.unsqueeze(-2)  # B, Q, G_h, G_w
    flat = flat + (torch.arange(b, device=index.device) * (hp * wp)).view(b, 1, 1, 1)
    table = padded.view(b * hp * wp, c)
    return table.index_select(0, flat.flatten()).view(b, index.shape[1], grid[0] * grid[1], c)


def attention_weights(q: Tensor, k: Tensor, bias: Tensor) -> Tensor:
    """Local attention maps, softmax(q k^T / sqrt(C / heads) + B).

    Args:
        q: (B, Q, C).
        k: (B, Q, N, C).
        bias: (B, Q, N, heads).

    Returns:
        (B, Q, N, heads), summing to 1 over N.
    """
    b, n_query, n, c = k.shape
    heads = bias.shape[-1]
    product = q.view(b, n_query, 1, heads, c // heads) * k.view(b, n_query, n, heads, c // heads)
    logits = product.sum(-1) / math.sqrt(c / heads) + bias  # B, Q, N, heads
    return logits.softmax(dim=2)


def weight_values(weights: Tensor, v: Tensor) -> Tensor:
    """Multiply the values by their head's attention, without summing over the grid (the decoder sees every pixel).

    Args:
        weights: (B, Q, N, heads).
        v: (B, Q, N, C).

    Returns:
        (B, Q, N, C).
    """
    b, n_query, n, c = v.shape
    heads = weights.shape[-1]
    return (weights.unsqueeze(-1) * v.view(b, n_query, n, heads, c // heads)).view(b, n_query, n, c)
