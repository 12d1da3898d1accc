"""Exact evaluation of local attention and decoder on a whole output grid, with far fewer operations.

The queries of an output grid that share a nearest LR pixel c (the centre) are evaluated together:

- first layer: W1 x = sum over p, h of a[p, h] T_c[p, h] with T_c[p, h] = W1[p, h] v_h(c + p), where p is a pixel of the
  local grid and h a head. T_c depends on c alone, so that its products are shared by all the queries of c;
- logits: q is bilinear in c's 3 x 3 neighbours, and k's patch is shared;
- the positional bias is the sum of one over rows and one over columns;
- the cell is constant and goes into the first layer's bias.

Nothing is approximated: the results differ from the reference path's by rounding alone.
"""

from collections.abc import Callable
from functools import partial

from torch import Tensor

from clit_plugin.fast.axis import BiasedAxis
from clit_plugin.fast.fused_grid import FusedGrid
from clit_plugin.fast.grid_decoder import GridDecoder, Head, Tile
from clit_plugin.fast.no_autocast import no_autocast
from clit_plugin.fast.strips import Run, Strip, runs_of, strips
from clit_plugin.fast.tile_tables import MapTiles
from clit_plugin.fast.workers import share_out


def attend_grid(
    tiles: MapTiles,
    axes: tuple[BiasedAxis, BiasedAxis],
    head: Head,
    max_queries: int,
    progress: Callable[[float], object] | None = None,
    fused: FusedGrid | None = None,
) -> Tensor:
    """Decode every pixel of the output grid, for one image.

    Args:
        tiles: Maps of q, k and v, (1, ., ., C).
        axes: Rows and columns of the output, (H_out,) and (W_out,); their geometry on the CPU, which plans by it.
        head: Weights; C = N * C / N.
        max_queries: How many queries a thread decodes at a time, at most.
        progress: Called with each strip's number of pixels.
        fused: Kernels for the tables of q, k and v, by default torch's operations.

    Returns:
        (H_out, W_out, 3).
    """
    rows, columns = axes
    out = rows.bias.new_zeros(len(rows.bias), len(columns.bias), 3)
    decoder = GridDecoder(axes, head, fused)
    row_runs, column_runs = (runs_of(axis.geometry.index) for axis in axes)

    def render(strip: Strip, tile: Tile) -> None:
        with no_autocast(out.device):  # autocast knows no ``out=``; dtypes are chosen here
            rgb = decoder(strip, tile)
        out[strip.rows.view(-1, 1), strip.columns.flatten()] = strip.arrange(rgb).to(out.dtype)

    area = (_centres(row_runs), _centres(column_runs))
    for window in tiles.windows(area):
        inside = (
            [run for run in row_runs if window.top <= run.centre < window.bottom],
            [run for run in column_runs if window.left <= run.centre < window.right],
        )
        if not all(inside):
            continue
        tile = decoder.read(tiles, window)
        limits = decoder.limits(max_queries, tile)
        share_out(
            strips(*inside, size=tiles.size, grid=decoder.grid, limits=limits, device=out.device),
            partial(render, tile=tile),
            device=out.device,
            done=None if progress is None else lambda strip: progress(strip.rows.numel() * strip.columns.numel()),
        )
    return out


def _centres(runs: list[Run]) -> tuple[int, int]:
    """Pixels [start, stop) of the map among which all centres are."""
    return runs[0].centre, runs[-1].centre + 1
