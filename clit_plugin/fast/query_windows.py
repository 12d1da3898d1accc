"""Which queries lie over which tile of the maps, a chunk at a time."""

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from clit_plugin.fast.tile_tables import Area, MapTiles, Window, layout_of


class Picked(NamedTuple):
    """Some queries of one tile, n of them.

    queries: Their numbers among all B * Q queries, (n,) or a slice.
    centre: (n,), where the centres of their local grids lie in the tile's tables of pixels.
    width: Pixels of a row of the tables.
    """

    queries: Tensor | slice
    centre: Tensor
    width: int


def query_windows(
    tiles: MapTiles, index: tuple[Tensor, Tensor], longest: int, area: Area | None = None
) -> Iterator[tuple[Window, list[Picked]]]:
    """The windows over which there are queries, and these queries.

    Args:
        tiles: The maps.
        index: Row and column of every query's centre pixel, (B, Q) each.
        longest: Queries of a chunk, at most.
        area: Where they all are; the whole map by default.
    """
    for window in tiles.windows(area):
        chunks = _chunks(tiles, window, index, longest)
        if chunks:
            yield window, chunks


def _chunks(tiles: MapTiles, window: Window, index: tuple[Tensor, Tensor], longest: int) -> list[Picked]:
    rows, columns = (each[window.first : window.last] for each in index)
    layout = layout_of(tiles, window)
    images = torch.arange(0, layout.width, layout.columns, device=rows.device).unsqueeze(1)  # where each begins
    centre = (layout.places(rows, columns) + images).flatten()
    first = window.first * rows.shape[1]
    if (window.top, window.left, window.bottom, window.right) == (0, 0, *tiles.size):
        # All queries of these images: nothing has to be picked, for which an accelerator's host would wait.
        starts = range(0, len(centre), longest)
        slices = [slice(start, min(start + longest, len(centre))) for start in starts]
        return [Picked(slice(first + part.start, first + part.stop), centre[part], layout.width) for part in slices]
    inside = (rows >= window.top) & (rows < window.bottom) & (columns >= window.left) & (columns < window.right)
    picked = inside.flatten().nonzero().squeeze(1)
    parts = picked.split(longest) if len(picked) else ()
    return [Picked(first + part, centre[part], layout.width) for part in parts]
