"""Tile sizes of the fused kernels."""

from typing import NamedTuple

import torch

from clit_plugin.ops.coordinates import Size

Tile = dict[str, int]


class Shapes(NamedTuple):
    """What the kernels are compiled for: heads, their depth, features of the hidden layer, (G_h, G_w)."""

    heads: int
    depth: int
    features: int
    grid: Size

    @property
    def pixels(self) -> int:
        return self.grid[0] * self.grid[1]

    @property
    def channels(self) -> int:
        return self.heads * self.depth

    @property
    def sizes(self) -> tuple[int, int, int, int]:
        return self.heads, self.depth, *self.grid


class Tiles(NamedTuple):
    """Of each kernel: sizes of what a program computes at once, its warps and how many steps are loaded ahead.

    values_by_pixel: None where a head has more channels than a program has room for.
    """

    logits: Tile
    hidden: Tile
    values_backward: Tile
    values_by_pixel: Tile | None
    logits_backward: Tile
    weight_grad: Tile
    scatter: Tile


def choose_tiles(shapes: Shapes, dtype: torch.dtype, *, large: bool) -> Tiles:
    """Tiles with which the kernels need no more registers and shared memory than there are.

    Args:
        shapes: See ``Shapes``.
        dtype: Of the tables.
        large: Whether a block may have 227 KB of shared memory, as on Hopper; if not, 99 KB, as everywhere from
            compute capability 8.0.
    """
    heads, depth = power(shapes.heads), power(shapes.depth)
    features, channels = max(16, power(shapes.features)), max(16, power(shapes.channels))
    # Queries of which all channels are held at once, in registers.
    few = max(1, min(32, 4096 // (heads * depth)))
    whole = {"block": few, "heads_tile": heads, "depth_tile": depth, "num_warps": 8, "num_stages": 2}
    half = dtype != torch.float32
    if half and large:
        hidden = _tile(128, min(features, 256), channels_tile=min(channels, 64), warps=8, stages=3)
        values = _tile(128, min(features, 256), depth_tile=max(16, min(depth, 32)), warps=8, stages=2)
        weight = _tile(64, min(features, 256), channels_tile=min(channels, 128), warps=8, stages=3)
    elif half:
        hidden = _tile(64, min(features, 128), channels_tile=min(channels, 32), warps=4, stages=3)
        values = _tile(64, min(features, 256), depth_tile=max(16, min(depth, 32)), warps=4, stages=2)
        weight = _tile(64, min(features, 128), channels_tile=min(channels, 64), warps=4, stages=3)
    elif large:
        hidden = _tile(128, min(features, 128), channels_tile=min(channels, 32), warps=8, stages=2)
        values = _tile(64, features if features <= 256 else 32, depth_tile=max(16, min(depth, 32)), warps=8, stages=2)
        weight = _tile(32, min(features, 128), channels_tile=min(channels, 128), warps=8, stages=2)
    else:
        hidden = _tile(64, min(features, 128), channels_tile=min(channels, 32), warps=8, stages=2)
        values = _tile(32, min(features, 32), depth_tile=max(16, min(depth, 32)), warps=4, stages=2)
        weight = _tile(16, min(features, 64), channels_tile=min(channels, 64), warps=4, stages=2)
    return Tiles(
        logits=whole,
        hidden=hidden,
        values_backward=values,
        values_by_pixel=_by_pixel(features, power(shapes.depth), half=half, large=large),
        logits_backward=whole,
        weight_grad=weight,
        scatter=scatter_tile(shapes.depth),
    )


def scatter_tile(depth: int) -> Tile:
    """Of ``scatter_kernel``, for heads of this depth."""
    tile = {"block": 64, "queries_tile": 64, "depth_tile": max(16, min(power(depth), 32))}
    return {**tile, "num_warps": 8, "num_stages": 2}


def _by_pixel(features: int, depth: int, *, half: bool, large: bool) -> Tile | None:
    if depth > 64:
        return None
    depth_tile = max(16, depth)
    block = min(128 if large else 64, 4096 // depth_tile) if half else min(64 if large else 32, 2048 // depth_tile)
    few = (features if features <= 256 else 64) if half else min(features, 32)
    stages = 3 if half and depth_tile < 64 else 2
    tile = _tile(block, few, warps=8 if block > 64 else 4, stages=stages)
    return {**tile, "queries_tile": block, "depth_tile": depth_tile}


def power(n: int) -> int:
    """The least power of two that is at least n."""
    return 1 << (n - 1).bit_length()


def _tile(block: int, features: int, *, warps: int, stages: int, **more: int) -> Tile:
    return {"block": block, "features_tile": features, **more, "num_warps": warps, "num_stages": stages}
