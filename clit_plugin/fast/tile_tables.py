"""Maps of q, k and v as local attention reads them: tile by tile, each tile a table of pixels.

A tile of several images has them side by side: the first rows of all images, then the second ones. It has a halo of
pixels around the centres of its window, so that the local grid of every centre lies in the table; outside the image
they are zeros.
"""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from clit_plugin.ops.coordinates import Size


class Window(NamedTuple):
    """Centre pixels [top, bottom) x [left, right) of the maps of the images [first, last) of the batch."""

    first: int
    last: int
    top: int
    bottom: int
    left: int
    right: int


Area = tuple[tuple[int, int], tuple[int, int]]  # rows [top, bottom) and columns [left, right) of centre pixels


class MapTiles(Protocol):
    """Where local attention reads q, k and v.

    size: (H, W) of the whole map.
    halo: Pixels (rows, columns) that a tile has around its window, on each side.
    sources: What the maps are made from, with gradients.
    """

    size: Size
    halo: Size
    sources: tuple[Tensor, ...]

    def windows(self, area: Area | None = None) -> list[Window]:
        """Windows that cover the maps, or an area of them, once."""
        ...

    def select(self, sources: Sequence[Tensor], window: Window) -> list[Tensor]:
        """Views of the parts of ``sources`` on which a window depends."""
        ...

    def read(self, parts: Sequence[Tensor], window: Window) -> list[Tensor]:
        """q, k and v over a window and its halo, zeros outside, each (rows, images, columns, C), from parts."""
        ...


class Layout(NamedTuple):
    """How a tile lies in a table of pixels: the map's pixel that comes first, an image's columns, the images."""

    top: int
    left: int
    columns: int
    images: int

    @property
    def width(self) -> int:
        """Pixels of a row of the table."""
        return self.images * self.columns

    def places(self, rows: Tensor, columns: Tensor) -> Tensor:
        """Index in the table of the first image's pixels (rows, columns), broadcast."""
        return torch.add(columns, rows, alpha=self.width) - (self.top * self.width + self.left)


class Tables(NamedTuple):
    """A tile of the maps of q, k and v, each as a table of pixels, (pixels, C)."""

    q: Tensor
    k: Tensor
    v: Tensor


def layout_of(tiles: MapTiles, window: Window) -> Layout:
    """How the tile over ``window`` lies in its tables."""
    top, left = window.top - tiles.halo[0], window.left - tiles.halo[1]
    return Layout(top, left, window.right + tiles.halo[1] - left, window.last - window.first)


def read_tables(tiles: MapTiles, sources: Sequence[Tensor], window: Window) -> Tables:
    """q, k and v over ``window`` and its halo, from ``sources``."""
    return Tables(*(tile.flatten(0, 2).contiguous() for tile in tiles.read(tiles.select(sources, window), window)))


def grid_places(centre: Tensor, width: int, grid: Size) -> Tensor:
    """Where the pixels of local grids lie in a table, row by row: (...) centres -> (..., N).

    Args:
        centre: The centres' indices in the table.
        width: Pixels of a row of the table.
        grid: (G_h, G_w), odd.
    """
    rows = torch.arange(-(grid[0] // 2), grid[0] // 2 + 1, device=centre.device)
    columns = torch.arange(-(grid[1] // 2), grid[1] // 2 + 1, device=centre.device)
    return centre.unsqueeze(-1) + (rows.unsqueeze(-1) * width + columns).flatten()
