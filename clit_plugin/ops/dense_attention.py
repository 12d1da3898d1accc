"""Exact evaluation of local attention and decoder on a whole output grid, with far fewer operations.

The queries of an output grid that share a nearest LR pixel c (the centre) are evaluated together:

- first layer: W1 x = sum over p, h of a[p, h] T_c[p, h] with T_c[p, h] = W1[p, h] v_h(c + p), where p is a pixel of the
  local grid and h a head. T_c depends on c alone, so that its products are shared by all the queries of c;
- logits: q is bilinear in c's 3 x 3 neighbours, and k's patch is shared;
- the positional bias is the sum of one over rows and one over columns;
- the cell is constant and goes into the first layer's bias.

Nothing is approximated: the results differ from the plain evaluation by rounding alone.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import astuple, dataclass
from itertools import groupby
from typing import NamedTuple

import torch
from torch import Tensor, nn

from clit_plugin.ops.axis import Axis
from clit_plugin.ops.buffers import Buffers
from clit_plugin.ops.map_tiles import MapTiles, Window, grid_offsets, table_index


class DenseAxis(NamedTuple):
    """One axis of the output grid: its geometry, and its positional bias (n_out, G, heads)."""

    geometry: Axis
    bias: Tensor


class Head(NamedTuple):
    """The weights of local attention's decoder: ``first`` (F, N * C), its bias (F,) with the cell in it, the layers."""

    first: Tensor
    bias: Tensor
    rest: nn.Sequential
    num_heads: int


@dataclass(frozen=True)
class _Run:
    """Outputs [start, start + count) of an axis, which share one centre."""

    centre: int
    start: int
    count: int


def attend_grid(tiles: MapTiles, axes: tuple[DenseAxis, DenseAxis], head: Head, max_queries: int) -> Tensor:
    """Decode every pixel of the output grid, for one image.

    Args:
        tiles: Maps of q, k and v, (1, ., ., C).
        axes: Rows and columns of the output.
        head: Weights; C = N * C / N.
        max_queries: How many queries are decoded at a time, at most.

    Returns:
        (H_out, W_out, 3).
    """
    rows, columns = axes
    grid = (rows.bias.shape[1], columns.bias.shape[1])
    n_out = (rows.bias.shape[0], columns.bias.shape[0])
    out = rows.bias.new_zeros(*n_out, 3)
    # h, N, C / h, F: a product of every grid pixel and head
    weight = head.first.view(head.first.shape[0], grid[0] * grid[1], head.num_heads, -1).permute(2, 1, 3, 0)
    bias = _grid_bias(rows.bias, columns.bias)
    buffers = Buffers()
    row_runs, column_runs = (_runs(axis.geometry.index) for axis in axes)
    for window in tiles.windows():
        inside = (
            [run for run in row_runs if window.top <= run.centre < window.bottom],
            [run for run in column_runs if window.left <= run.centre < window.right],
        )
        if not all(inside):
            continue
        maps = [tile.flatten(0, 2) for tile in tiles.read(tiles.select(tiles.sources, window), window)]
        weight = weight.to(maps[0].dtype)
        for strip_rows, strip_columns in _strips(*inside, max_queries, out.device):
            strip = _Strip(strip_rows, strip_columns, out.device)
            with torch.autocast(out.device.type, enabled=False):  # it knows no ``out=``; dtypes are chosen here
                hidden = _first_layer(strip, maps, tiles, window, axes, bias, weight, head, buffers)
                rgb = _decode(strip.drop_padding(hidden), head.rest, buffers)
            out[strip.out_rows, strip.out_columns] = strip.arrange(rgb).to(out.dtype)
    return out


def _first_layer(
    strip: "_Strip",
    maps: list[Tensor],
    tiles: MapTiles,
    window: Window,
    axes: tuple[DenseAxis, DenseAxis],
    bias: tuple[Tensor, Tensor],
    weight: Tensor,
    head: Head,
    buffers: Buffers,
) -> Tensor:
    """(n * Q, F) for the strip's n centres of Q queries each."""
    q_map, k_map, v_map = maps
    dtype = q_map.dtype
    heads, pixels, depth, width = weight.shape
    grid = (axes[0].bias.shape[1], axes[1].bias.shape[1])
    ny, a, nx, b = *strip.rows.shape, *strip.columns.shape
    n, n_query, c = ny * nx, a * b, heads * depth
    centre = table_index(tiles, window, strip.row_centres.unsqueeze(-1), strip.column_centres).flatten()  # n
    patch = (grid_offsets(tiles, window, grid, centre.device).unsqueeze(-1) + centre).flatten()  # N * n
    k, v = (
        torch.index_select(table, 0, patch, out=buffers.get(name, table, len(patch), c)).view(pixels, n, c)
        for name, table in (("k", k_map), ("v", v_map))
    )
    around = (centre.unsqueeze(-1) + grid_offsets(tiles, window, (3, 3), centre.device)).flatten()  # n * 9
    hats = [axis.geometry.hat[outputs] for axis, outputs in zip(axes, (strip.rows, strip.columns), strict=True)]
    hat = torch.einsum("yai,xbj->yxabij", *hats).reshape(n, n_query, 9)
    q = torch.bmm(hat.to(dtype), q_map.index_select(0, around).view(n, 9, c))  # n, Q, C

    by_row = bias[0][:, strip.rows].view(heads, ny, 1, a, 1, pixels)
    by_column = bias[1][:, strip.columns].view(heads, 1, nx, 1, b, pixels)
    logits = buffers.get("logits", by_row, heads, ny, nx, a, b, pixels)
    logits = torch.add(by_row, by_column, out=logits).view(heads, n, n_query, pixels)
    scale = 1.0 / math.sqrt(depth)
    for h in range(heads):
        part = slice(h * depth, (h + 1) * depth)
        q_h, k_h = q[:, :, part], k[:, :, part].permute(1, 2, 0)  # n, Q, d and n, d, N
        if logits.dtype == dtype:
            logits[h].baddbmm_(q_h, k_h, alpha=scale)
        else:
            logits[h] += torch.bmm(q_h, k_h) * scale
    attention = torch.softmax(logits, -1, out=buffers.get("attention", logits, *logits.shape)).to(dtype)

    hidden = buffers.get("hidden", q_map, n, n_query, width).copy_(head.bias)
    table = buffers.get("table", q_map, pixels, n, width)  # T of one head: small enough to stay in cache
    for h in range(heads):
        torch.bmm(v[:, :, h * depth : (h + 1) * depth], weight[h], out=table)
        hidden.baddbmm_(attention[h], table.transpose(0, 1))
    return hidden.view(n * n_query, width)


def _decode(hidden: Tensor, layers: nn.Sequential, buffers: Buffers) -> Tensor:
    """(n, F) -> (n, 3). The layers are GELU, in place, and Linear."""
    for i, layer in enumerate(layers):
        if isinstance(layer, nn.Linear):
            out = buffers.get(f"layer {i % 4}", hidden, len(hidden), layer.out_features)
            weight, bias = layer.weight.to(hidden.dtype), layer.bias.to(hidden.dtype)
            hidden = torch.addmm(bias, hidden, weight.T, out=out)
        else:
            hidden = torch.ops.aten.gelu_(hidden)
    return hidden


class _Strip:
    """Some centres, ny x nx, with the same number of output rows each, and of columns after padding."""

    def __init__(self, rows: Sequence[_Run], columns: Sequence[_Run], device: torch.device) -> None:
        self.row_centres, self.rows, _ = _index(rows, device)  # ny; ny, a
        self.column_centres, self.columns, valid = _index(columns, device)  # nx; nx, b
        self.out_rows = self.rows.view(-1, 1)
        self.out_columns = self.columns[valid]
        self._keep = None if bool(valid.all()) else valid

    def drop_padding(self, hidden: Tensor) -> Tensor:
        """(n * Q, F) -> (ny * a * columns of the output, F) or, without padding, as it is."""
        if self._keep is None:
            return hidden
        (ny, a), (nx, b) = self.rows.shape, self.columns.shape
        return hidden.view(ny, nx, a, b, -1).transpose(1, 2)[:, :, self._keep].flatten(0, 2)

    def arrange(self, rgb: Tensor) -> Tensor:
        """What ``drop_padding``'s rows were decoded to, as (ny * a, columns of the output, 3)."""
        (ny, a), (nx, b) = self.rows.shape, self.columns.shape
        if self._keep is None:
            rgb = rgb.view(ny, nx, a, b, 3).transpose(1, 2)
        return rgb.reshape(ny * a, -1, 3)


def _strips(
    rows: list[_Run], columns: list[_Run], max_queries: int, device: torch.device
) -> Iterator[tuple[list[_Run], list[_Run]]]:
    """Cut the centres into strips of at most ``max_queries`` queries, padding included."""
    columns = [part for run in columns for part in _split(run, max_queries)]
    b = max(run.count for run in columns)
    rows = [part for run in rows for part in _split(run, max(1, max_queries // b))]
    for a, same in groupby(sorted(rows, key=lambda run: run.count), key=lambda run: run.count):
        group = list(same)
        centres = max(1, min(max_queries // (a * b), _most_centres(a * b, device)))
        nx = -(-len(columns) // -(-len(columns) // centres))  # even parts
        ny = max(1, centres // nx)
        for y in range(0, len(group), ny):
            for x in range(0, len(columns), nx):
                yield group[y : y + ny], columns[x : x + nx]


def _most_centres(queries_per_centre: int, device: torch.device) -> int:
    """How many centres share a strip: what stays in a CPU's cache, or what fills an accelerator."""
    if device.type == "cpu":
        return max(16, min(96, 2048 // queries_per_centre))
    return max(64, min(2048, 65536 // queries_per_centre))


def _split(run: _Run, most: int) -> Iterator[_Run]:
    for start in range(0, run.count, most):
        yield _Run(run.centre, run.start + start, min(most, run.count - start))


def _runs(index: Tensor) -> list[_Run]:
    """Outputs of an axis by centre: ``index`` (n_out,) never falls."""
    centres, counts = torch.unique_consecutive(index.cpu(), return_counts=True)
    starts = counts.cumsum(0) - counts
    return [_Run(*run) for run in zip(centres.tolist(), starts.tolist(), counts.tolist(), strict=True)]


def _index(runs: Sequence[_Run], device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """Centres (n,), outputs (n, longest), shorter runs padded by their last, and which of these are no padding."""
    centres, starts, counts = (torch.tensor(values) for values in zip(*map(astuple, runs), strict=True))
    steps = torch.arange(int(counts.max()))
    outputs = starts.unsqueeze(-1) + torch.minimum(steps, counts.unsqueeze(-1) - 1)
    return centres.to(device), outputs.to(device), (steps < counts.unsqueeze(-1)).to(device)


def _grid_bias(rows: Tensor, columns: Tensor) -> tuple[Tensor, Tensor]:
    """(H_out, G_h, heads), (W_out, G_w, heads) -> (heads, H_out, N) and (heads, W_out, N), N = G_h * G_w."""
    g_h, g_w = rows.shape[1], columns.shape[1]
    return (
        rows.permute(2, 0, 1).unsqueeze(-1).expand(-1, -1, -1, g_w).flatten(2).contiguous(),
        columns.permute(2, 0, 1).unsqueeze(-2).expand(-1, -1, g_h, -1).flatten(2).contiguous(),
    )
