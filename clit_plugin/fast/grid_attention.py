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
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor, nn

from clit_plugin.fast.axis import Axis
from clit_plugin.fast.buffers import Buffers
from clit_plugin.fast.map_tiles import MapTiles, Window, grid_offsets
from clit_plugin.fast.strips import Run, Strip, runs_of, strips
from clit_plugin.fast.workers import share_out
from clit_plugin.ops.coordinates import Size


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


def attend_grid(
    tiles: MapTiles,
    axes: tuple[DenseAxis, DenseAxis],
    head: Head,
    max_queries: int,
    progress: Callable[[float], object] | None = None,
) -> Tensor:
    """Decode every pixel of the output grid, for one image.

    Args:
        tiles: Maps of q, k and v, (1, ., ., C).
        axes: Rows and columns of the output.
        head: Weights; C = N * C / N.
        max_queries: How many queries a thread decodes at a time, at most.
        progress: Is told of each strip's pixels.

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
    row_runs, column_runs = (runs_of(axis.geometry.index) for axis in axes)

    def render(strip: Strip, window: Window, q: Tensor, k: Tensor, v: Tensor, weight: Tensor) -> None:
        with torch.autocast(out.device.type, enabled=False):  # it knows no ``out=``; dtypes are chosen here
            attention = _attention(strip, q, k, tiles, window, axes, bias, buffers)
            hidden = _first_layer(strip, v, attention, tiles, window, grid, weight, head.bias, buffers)
            rgb = _decode(hidden, head.rest, buffers)
        out[strip.rows.view(-1, 1), strip.columns.flatten()] = strip.arrange(rgb).to(out.dtype)

    area = (_centres(row_runs), _centres(column_runs))
    for window in tiles.windows(area):
        inside = (
            [run for run in row_runs if window.top <= run.centre < window.bottom],
            [run for run in column_runs if window.left <= run.centre < window.right],
        )
        if not all(inside):
            continue
        q, k, v = (tile.flatten(0, 2) for tile in tiles.read(tiles.select(tiles.sources, window), window))
        k, v = (tile.view(len(tile), head.num_heads, -1).transpose(0, 1).contiguous() for tile in (k, v))
        weight = weight.to(q.dtype).contiguous()
        share_out(
            strips(*inside, size=tiles.size, grid=grid, max_queries=max_queries, device=out.device),
            partial(render, window=window, q=q, k=k, v=v, weight=weight),
            device=out.device,
            done=None if progress is None else lambda strip: progress(strip.rows.numel() * strip.columns.numel()),
        )
    return out


def _centres(runs: list[Run]) -> tuple[int, int]:
    """Pixels [start, stop) of the map among which all centres are."""
    return runs[0].centre, runs[-1].centre + 1


def _attention(
    strip: Strip,
    q_map: Tensor,
    k_map: Tensor,
    tiles: MapTiles,
    window: Window,
    axes: tuple[DenseAxis, DenseAxis],
    bias: tuple[Tensor, Tensor],
    buffers: Buffers,
) -> Tensor:
    """(heads, n, Q, N) for the strip's n centres of Q queries each; q_map (pixels, C), k_map (heads, pixels, d)."""
    heads, _, depth = k_map.shape
    grid = (axes[0].bias.shape[1], axes[1].bias.shape[1])
    pixels = grid[0] * grid[1]
    ny, a, nx, b = *strip.rows.shape, *strip.columns.shape
    n, n_query = ny * nx, a * b
    centre = strip.index(tiles, window).unsqueeze(-1)
    patch = (centre + grid_offsets(tiles, window, grid, centre.device)).flatten()  # n * N
    around = (centre + grid_offsets(tiles, window, (3, 3), centre.device)).flatten()  # n * 9
    hats = [axis.geometry.hat[outputs] for axis, outputs in zip(axes, (strip.rows, strip.columns), strict=True)]
    hat = torch.einsum("yai,xbj->yxabij", *hats).reshape(n, n_query, 9)
    q = torch.bmm(hat.to(q_map.dtype), q_map.index_select(0, around).view(n, 9, -1))  # n, Q, C

    by_row = bias[0][:, strip.rows].view(heads, ny, 1, a, 1, pixels)
    by_column = bias[1][:, strip.columns].view(heads, 1, nx, 1, b, pixels)
    logits = buffers.get("logits", by_row, heads, ny, nx, a, b, pixels)
    logits = torch.add(by_row, by_column, out=logits).view(heads, n, n_query, pixels)
    scale = 1.0 / math.sqrt(depth)
    for h in range(heads):
        q_h = q[:, :, h * depth : (h + 1) * depth]
        k_h = torch.index_select(k_map[h], 0, patch, out=buffers.get("patch", k_map, len(patch), depth))
        k_h = k_h.view(n, pixels, depth).transpose(1, 2)
        if logits.dtype == q.dtype:
            logits[h].baddbmm_(q_h, k_h, alpha=scale)
        else:
            logits[h] += torch.bmm(q_h, k_h) * scale
    return torch.softmax(logits, -1, out=buffers.get("attention", logits, *logits.shape)).to(q.dtype)


def _first_layer(
    strip: Strip,
    v_map: Tensor,
    attention: Tensor,
    tiles: MapTiles,
    window: Window,
    grid: Size,
    weight: Tensor,
    bias: Tensor,
    buffers: Buffers,
) -> Tensor:
    """(n * Q, F) from attention (heads, n, Q, N), v_map (heads, pixels, d) and weight (heads, N, d, F)."""
    heads, n, n_query, pixels = attention.shape
    depth, width = weight.shape[2:]
    centre = strip.index(tiles, window)
    patch = (grid_offsets(tiles, window, grid, centre.device).unsqueeze(-1) + centre).flatten()  # N * n
    hidden = buffers.get("hidden", v_map, n, n_query, width).copy_(bias)
    for h in range(heads):
        v = torch.index_select(v_map[h], 0, patch, out=buffers.get("patch", v_map, len(patch), depth))
        v = v.view(pixels, n, depth)
        for part, seen in strip.blocks:
            table = buffers.get("table", v_map, seen.stop - seen.start, part.stop - part.start, width)
            torch.bmm(v[seen, part], weight[h, seen], out=table)
            hidden[part].baddbmm_(attention[h, part, :, seen], table.transpose(0, 1))
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


def _grid_bias(rows: Tensor, columns: Tensor) -> tuple[Tensor, Tensor]:
    """(H_out, G_h, heads), (W_out, G_w, heads) -> (heads, H_out, N) and (heads, W_out, N), N = G_h * G_w."""
    g_h, g_w = rows.shape[1], columns.shape[1]
    return (
        rows.permute(2, 0, 1).unsqueeze(-1).expand(-1, -1, -1, g_w).flatten(2).contiguous(),
        columns.permute(2, 0, 1).unsqueeze(-2).expand(-1, -1, g_h, -1).flatten(2).contiguous(),
    )
