"""Exact evaluation of local attention and decoder on an output grid of low scale, for small networks on a CPU.

As in ``grid_attention``, the bias is a sum of rows and columns and the cell is constant. Where a centre has few
queries, sharing products among them does not pay: the first layer is multiplied query by query. What counts then is the
time of everything else. So tensors are kept channel by channel, with the queries innermost: all operations run along
long rows, keys and values of the local grids are views of a map whose columns are those of the output, and what a block
of queries needs stays in cache.
"""

import math
import threading
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn

from clit_plugin.fast.axis import BiasedAxis
from clit_plugin.fast.buffers import Buffers
from clit_plugin.fast.grid_decoder import Head
from clit_plugin.fast.planar_tiles import Block, Part, Shape, blocks, interpolate, near_columns, order_columns
from clit_plugin.fast.strips import runs_of
from clit_plugin.fast.tile_tables import MapTiles, Window
from clit_plugin.fast.workers import share_out
from clit_plugin.ops.coordinates import Size

_BYTES = 2**21  # of what the first layer sees of a block


def attend_planar(
    tiles: MapTiles,
    axes: tuple[BiasedAxis, BiasedAxis],
    head: Head,
    max_queries: int,
    progress: Callable[[float], object] | None = None,
) -> Tensor:
    """As ``attend_grid``."""
    decoder = _PlanarDecoder(tiles, axes, head, max_queries)

    def done(part: Part) -> None:
        if progress is not None:
            for block in blocks(part.rows, order_columns(part.columns, decoder.max_queries), decoder.max_queries):
                progress(block.queries)

    share_out(decoder.parts(), decoder, device=decoder.out.device, done=done)
    return decoder.out.permute(1, 2, 0)


class _Maps(NamedTuple):
    """What the blocks of a part share.

    q: (C, rows of the output, phases, X), at the queries, over sqrt(d).
    k, v: (C, rows of the map, G_w, X).
    row: (heads, G_h, rows of the output), positional bias.
    column: (heads, G_w, phases, X).
    y: The first row of the output.
    top: The first row of the map.
    """

    q: Tensor
    k: Tensor
    v: Tensor
    row: Tensor
    column: Tensor
    y: int
    top: int


class _Scratch:
    """Where blocks of a shape are computed. Its views are made once: one costs as much as a short operation.

    Args:
        like: Gives dtype.
        depth: Channels of a head.
        grid: (heads, G_h, G_w).
        shape: See ``Shape``.
        widths: Outputs of the decoder's layers.
        buffers: Where it lies.
    """

    def __init__(
        self, like: Tensor, *, depth: int, grid: tuple[int, int, int], shape: Shape, widths: list[int], buffers: Buffers
    ) -> None:
        n, heads = math.prod(shape), grid[0]
        self.products = buffers.get("products", like, heads, depth, *grid[1:], *shape)
        self.x = self.products.view(-1, n)
        self.logits = buffers.get("logits", like, *grid, *shape)
        self.scores = self.logits.view(heads, -1, n)
        self.weights = buffers.get("weights", like, *self.scores.shape)
        self.attention = self.weights.view(heads, 1, *grid[1:], *shape)
        self.layers = [buffers.get(f"layer {i % 2}", like, width, n) for i, width in enumerate(widths)]
        self.rgb = self.layers[-1].view(-1, shape[0] * shape[1], *shape[2:])


class _PlanarDecoder:
    """Colours of a part, written to ``out`` (3, H_out, W_out); several threads may call it at once."""

    def __init__(self, tiles: MapTiles, axes: tuple[BiasedAxis, BiasedAxis], head: Head, max_queries: int) -> None:
        rows, columns = axes
        self.tiles = tiles
        self.geometry = (rows.geometry, columns.geometry)
        self.runs = (runs_of(rows.geometry.index), runs_of(columns.geometry.index))
        self.bias = tuple(axis.bias.permute(2, 1, 0).contiguous() for axis in axes)  # heads, G, outputs
        self.grid: Size = (rows.bias.shape[1], columns.bias.shape[1])
        self.heads = head.num_heads
        pixels, inputs = self.grid[0] * self.grid[1], head.first.shape[1]
        self.depth = inputs // (pixels * self.heads)
        self.max_queries = max(1, min(_BYTES // (inputs * head.first.element_size()), max_queries))
        # F, C * N: a head's channels together, then the pixels of the grid.
        first = head.first.view(-1, pixels, inputs // pixels).transpose(1, 2).flatten(1).contiguous()
        self.layers = [(first, head.bias.unsqueeze(1))]
        self.layers += [(layer.weight, layer.bias.unsqueeze(1)) for layer in head.rest if isinstance(layer, nn.Linear)]
        self.buffers, self.local = Buffers(), threading.local()
        self.out = rows.bias.new_empty(3, len(rows.bias), len(columns.bias))

    def parts(self) -> list[Part]:
        """The output, in parts that have a tile of the maps each."""
        rows, columns = ((runs[0].centre, runs[-1].centre + 1) for runs in self.runs)
        parts = [self._part(window) for window in self.tiles.windows((rows, columns))]
        return [part for part in parts if part.rows and part.columns]

    def _part(self, window: Window) -> Part:
        return Part(
            window,
            [run for run in self.runs[0] if window.top <= run.centre < window.bottom],
            [run for run in self.runs[1] if window.left <= run.centre < window.right],
        )

    def __call__(self, part: Part) -> None:
        columns, (rows, all_columns) = order_columns(part.columns, self.max_queries), part.outputs
        sources = self.tiles.select(self.tiles.sources, part.window)
        q, k, v = (each[:, 0].permute(2, 0, 1).contiguous() for each in self.tiles.read(sources, part.window))
        origin = (part.window.top - self.tiles.halo[0], part.window.left - self.tiles.halo[1])
        maps = _Maps(
            interpolate(q / math.sqrt(self.depth), columns, rows, self.geometry, origin, self.buffers),
            near_columns(k, columns.centres - origin[1], self.grid[1], self.buffers, "k"),
            near_columns(v, columns.centres - origin[1], self.grid[1], self.buffers, "v"),
            self.bias[0][..., rows],
            self.bias[1][..., columns.outputs],
            rows.start,
            origin[0],
        )
        rgb = self.buffers.get("rgb", q, 3, rows.stop - rows.start, *columns.outputs.shape)
        for block in blocks(part.rows, columns, self.max_queries):
            scratch = self._scratch(q, block.shape)
            self._attend(block, maps, scratch)
            self._decode(scratch)
            y = block.y - rows.start
            rgb[:, y : y + block.rows, :, block.start : block.stop] = scratch.rgb
        places = columns.outputs.flatten() - all_columns.start
        self.out[:, rows, all_columns].index_copy_(2, places, rgb.flatten(2).to(self.out.dtype))

    def _attend(self, block: Block, maps: _Maps, scratch: _Scratch) -> None:
        """What the decoder's first layer sees."""
        ny, a, _, _ = block.shape
        part, y, top = slice(block.start, block.stop), block.y - maps.y, block.centre - maps.top - self.grid[0] // 2
        q = maps.q[:, y : y + block.rows, :, part].unflatten(1, (ny, a))
        q = q.view(self.heads, self.depth, 1, 1, *block.shape)
        torch.mul(q, self._patches(maps.k, top, block), out=scratch.products)
        torch.sum(scratch.products, 1, out=scratch.logits)
        scratch.logits += maps.row[..., y : y + block.rows].view(self.heads, -1, 1, ny, a, 1, 1)
        scratch.logits += maps.column[..., part][:, None, :, None, None]
        torch.softmax(scratch.scores, 1, out=scratch.weights)
        torch.mul(scratch.attention, self._patches(maps.v, top, block), out=scratch.products)

    def _patches(self, table: Tensor, top: int, block: Block) -> Tensor:
        """(heads, d, G_h, G_w, ny, 1, 1, X) of k or v, a view."""
        c, row, pixel, x = table.stride()
        return table.as_strided(
            (self.heads, self.depth, *self.grid, block.shape[0], 1, 1, block.shape[3]),
            (c * self.depth, c, row, pixel, row, 0, 0, x),
            table.storage_offset() + top * row + block.start * x,
        )

    def _decode(self, scratch: _Scratch) -> None:
        x = scratch.x
        for i, ((weight, bias), out) in enumerate(zip(self.layers, scratch.layers, strict=True)):
            x = torch.addmm(bias, weight, x if i == 0 else torch.ops.aten.gelu_(x), out=out)

    def _scratch(self, like: Tensor, shape: Shape) -> _Scratch:
        known: dict[str, _Scratch] = self.local.__dict__
        key = str(shape)
        if key not in known:
            widths = [len(weight) for weight, _ in self.layers]
            grid = (self.heads, *self.grid)
            known[key] = _Scratch(like, depth=self.depth, grid=grid, shape=shape, widths=widths, buffers=self.buffers)
        return known[key]
