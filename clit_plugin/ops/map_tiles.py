"""Maps of q, k and v, a tile at a time, surrounded by the zeros that local grids see outside the image."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from clit_plugin.ops.coordinates import Size
from clit_plugin.ops.upsampled_maps import (
    inside_mask,
    interpolate_taps,
    source_range,
    tap_interpolation,
    tap_products,
)


class Window(NamedTuple):
    """Centre pixels [top, bottom) x [left, right) of a map."""

    top: int
    bottom: int
    left: int
    right: int


class MapTiles(Protocol):
    """Where local attention reads q, k and v.

    size: (H, W) of the whole map.
    halo: Pixels (rows, columns) that a tile has around its window, on each side.
    sources: What the maps are made from, with gradients.
    """

    size: Size
    halo: Size
    sources: tuple[Tensor, ...]

    def windows(self) -> list[Window]:
        """Windows that cover the map once."""
        ...

    def read(self, sources: Sequence[Tensor], window: Window) -> Tensor:
        """The maps over a window and its halo, zeros outside the image: (B, rows, columns, D), from ``sources``."""
        ...


class PlainTiles:
    """The maps of a convolution at the feature's own size: one window.

    Args:
        feature: (B, C, H, W).
        weight: (D, C, 3, 3).
        bias: (D,).
        halo: See ``MapTiles``.
    """

    def __init__(self, feature: Tensor, weight: Tensor, bias: Tensor, halo: Size) -> None:
        self.size = (feature.shape[-2], feature.shape[-1])
        self.halo = halo
        maps = F.conv2d(feature, weight, bias, padding=1).permute(0, 2, 3, 1)
        self.sources: tuple[Tensor, ...] = (F.pad(maps, (0, 0, halo[1], halo[1], halo[0], halo[0])).contiguous(),)

    def windows(self) -> list[Window]:
        return [Window(0, self.size[0], 0, self.size[1])]

    def read(self, sources: Sequence[Tensor], window: Window) -> Tensor:
        return sources[0]


class UpsampledTiles:
    """The maps of a convolution at ``size``, of a feature resized to it, without a convolution at that size.

    Args:
        feature: (B, C, h, w), before the resizing.
        weight: (D, C, 3, 3).
        bias: (D,).
        size: (H, W) of the resized feature.
        halo: See ``MapTiles``.
        pixels: About how many pixels a tile has, with its halo.
        keep_products: Whether W_t Z is computed once for the whole small map, as the gradient needs it, or tile by
            tile, so that memory does not grow with the image.
    """

    def __init__(
        self, feature: Tensor, weight: Tensor, bias: Tensor, size: Size, halo: Size, pixels: int, keep_products: bool
    ) -> None:
        self.size, self.halo = size, halo
        self.weight, self.keep_products = weight, keep_products
        self.small = (feature.shape[-2], feature.shape[-1])
        self.sources: tuple[Tensor, ...] = (tap_products(feature, weight) if keep_products else feature, bias)
        side = max(8, int(pixels**0.5))
        self.side = (max(1, side - 2 * halo[0]), max(1, side - 2 * halo[1]))

    def windows(self) -> list[Window]:
        return [
            Window(top, bottom, left, right)
            for top, bottom in _even_parts(self.size[0], self.side[0])
            for left, right in _even_parts(self.size[1], self.side[1])
        ]

    def read(self, sources: Sequence[Tensor], window: Window) -> Tensor:
        spans = (
            (window.top - self.halo[0], window.bottom + self.halo[0]),
            (window.left - self.halo[1], window.right + self.halo[1]),
        )
        used = [source_range(*span, *axis) for span, axis in zip(spans, self._axes(), strict=True)]
        (y0, y1), (x0, x1) = used
        source, bias = sources
        if self.keep_products:
            products = source[..., y0:y1, x0:x1, :]
        else:
            products = tap_products(source[..., y0:y1, x0:x1], self.weight)
        rows, columns = (
            tap_interpolation(*span, *axis, *use, products)
            for span, axis, use in zip(spans, self._axes(), used, strict=True)
        )
        masks = [inside_mask(*span, n, products) for span, n in zip(spans, self.size, strict=True)]
        inside = masks[0].view(-1, 1, 1) * masks[1].view(1, -1, 1)
        return interpolate_taps(products, rows, columns, inside * bias)

    def _axes(self) -> Iterator[tuple[int, int]]:
        return zip(self.size, self.small, strict=True)


def _even_parts(n: int, longest: int) -> list[tuple[int, int]]:
    count = -(-n // longest)
    cuts = [n * i // count for i in range(count + 1)]
    return list(zip(cuts, cuts[1:], strict=False))


def table_index(tiles: MapTiles, window: Window, rows: Tensor, columns: Tensor) -> Tensor:
    """Index of the map's pixels (rows, columns), broadcast, in a tile's table of pixels (of one image)."""
    width = window.right - window.left + 2 * tiles.halo[1]
    return (rows - window.top + tiles.halo[0]) * width + (columns - window.left + tiles.halo[1])


def grid_offsets(tiles: MapTiles, window: Window, grid: Size, device: torch.device) -> Tensor:
    """What to add to a centre's ``table_index`` to reach the pixels of its (G_h, G_w) grid, row by row: (N,)."""
    width = window.right - window.left + 2 * tiles.halo[1]
    rows = torch.arange(-(grid[0] // 2), grid[0] // 2 + 1, device=device)
    columns = torch.arange(-(grid[1] // 2), grid[1] // 2 + 1, device=device)
    return (rows.unsqueeze(-1) * width + columns).flatten()
