"""The strips of an output grid: local attention and decoder for queries that share centres."""

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

from clit_plugin.fast.axis import BiasedAxis
from clit_plugin.fast.buffers import Buffers
from clit_plugin.fast.device_memory import part_memory
from clit_plugin.fast.fused_grid import FusedGrid, GridQueries
from clit_plugin.fast.strips import Limits, Strip
from clit_plugin.fast.tile_tables import Layout, MapTiles, Window, grid_places, layout_of, read_tables

_SMALL_BLOCK = 32  # centres for which the products have their full rate
_TABLE_BYTES = 2**19  # of T, W1's products, at a time: a CPU's second-level cache
_PATCH_BYTES = 5 * 2**18  # of k's or v's patches of a strip


class Head(NamedTuple):
    """The weights of local attention's decoder: ``first`` (F, N * C), its bias (F,) with the cell in it, the layers."""

    first: Tensor
    bias: Tensor
    rest: nn.Sequential
    num_heads: int


class Tile(NamedTuple):
    """What the strips of a window share.

    q: Table, (pixels, C).
    k, v: Tables, (heads, pixels, d).
    patch: (N,), where the pixels of a local grid lie in the tables, relative to its centre.
    around: (9,), likewise for q's neighbours.
    weight: W1 in the tables' dtype.
    layers: Weights and biases of the other layers, likewise.
    """

    layout: Layout
    q: Tensor
    k: Tensor
    v: Tensor
    patch: Tensor
    around: Tensor
    weight: Tensor
    layers: list[tuple[Tensor, Tensor]]


class GridDecoder:
    """Colours of a strip; several threads may call it at once."""

    def __init__(self, axes: tuple[BiasedAxis, BiasedAxis], head: Head, fused: FusedGrid | None) -> None:
        rows, columns = axes
        self.fused = fused
        self.hats = (rows.geometry.hat.to(rows.bias.device), columns.geometry.hat.to(columns.bias.device))
        self.grid = (rows.bias.shape[1], columns.bias.shape[1])
        self.bias = (rows.bias.contiguous(), columns.bias.contiguous())
        if fused is None:
            self.bias = _grid_bias(*self.bias)
        self.head = head
        # heads, N, C / heads, F: a product of every grid pixel and head
        self.weight = head.first.view(len(head.first), self.grid[0] * self.grid[1], head.num_heads, -1)
        self.weight = self.weight.permute(2, 1, 3, 0).contiguous()
        self.buffers = Buffers()
        self.cpu = fused is None and lies_in_cache(self.weight.device)
        # As many heads at once as leave T of a small block in a CPU's cache: of a small network, or on an accelerator
        # with its large blocks, all of them.
        table = _SMALL_BLOCK * self.weight[0, :, 0].numel() * self.weight.element_size()
        fitting = [n for n in range(1, head.num_heads + 1) if head.num_heads % n == 0 and n * table <= _TABLE_BYTES]
        self.together = max(fitting, default=1) if self.cpu else head.num_heads

    def limits(self, max_queries: int, tile: Tile) -> Limits:
        """Parts that stay in a CPU's cache, or that fill an accelerator but not its memory."""
        heads, pixels, depth, width = self.weight.shape
        like = self.head.first if self.cpu else tile.weight
        size = self.together * pixels * like.element_size()  # of one number per head and pixel of a centre
        if not self.cpu:
            budget, number = part_memory(tile.q.device), tile.q.element_size()
            query, centre = size + 4 * width * number, size * depth + 16 * pixels  # attention, layers; patch, places
            block = budget // 4 // (size * width)
            if self.fused is None:  # logits and attention in float32, q twice; half for queries, half for centres
                query, budget = query + size + heads * (8 * pixels + 2 * depth * number), budget // 2
            return Limits(min(max_queries, max(1, budget // query)), max(1, budget // centre), max(1, block))
        centres, block = (
            max(1, bytes_ // (size * numbers * _SMALL_BLOCK)) * _SMALL_BLOCK
            for bytes_, numbers in ((_PATCH_BYTES, depth), (_TABLE_BYTES, width))
        )
        return Limits(max_queries, centres, block)

    def read(self, tiles: MapTiles, window: Window) -> Tile:
        tables = read_tables(tiles, tiles.sources, window)
        k, v = (
            table.view(len(table), self.head.num_heads, -1).transpose(0, 1).contiguous()
            for table in (tables.k, tables.v)
        )
        dtype, layout = tables.q.dtype, layout_of(tiles, window)
        self.weight = self.weight.to(dtype)
        linear = [layer for layer in self.head.rest if isinstance(layer, nn.Linear)]
        layers = [(layer.weight.to(dtype), layer.bias.to(dtype)) for layer in linear]
        centre = torch.zeros((), dtype=torch.int64, device=k.device)
        patch, around = (grid_places(centre, layout.width, grid) for grid in (self.grid, (3, 3)))
        return Tile(layout, tables.q, k, v, patch, around, self.weight, layers)

    def __call__(self, strip: Strip, tile: Tile) -> Tensor:
        """(n * Q, 3) for the strip's n centres of Q queries each."""
        centre = strip.places(tile.layout)
        if self.fused is None:
            hidden = self._first_layer(strip, tile, centre, self._attention(strip, tile, centre))
        else:
            hidden = self._fused_first_layer(self.fused, strip, tile, centre)
        return self._decode(hidden, tile.layers)

    def _fused_first_layer(self, fused: FusedGrid, strip: Strip, tile: Tile, centre: Tensor) -> Tensor:
        """(n * Q, F)."""
        queries = GridQueries(centre, tile.layout.width, strip.rows, strip.columns, self.hats, self.bias)
        attention = fused.attention(tile.q, tile.k, queries)
        if not fused.has_hidden(queries.each):
            return self._first_layer(strip, tile, centre, attention.unsqueeze(0))
        return fused.hidden(tile.v, queries, attention, tile.weight, self.head.bias).flatten(0, 1)

    def _attention(self, strip: Strip, tile: Tile, centre: Tensor) -> Tensor:
        """(groups, n, Q, heads of a group, N)."""
        heads, _, depth = tile.k.shape
        pixels = self.grid[0] * self.grid[1]
        ny, a, nx, b = *strip.rows.shape, *strip.columns.shape
        n, n_query = ny * nx, a * b
        patch, around = ((centre.unsqueeze(1) + places).flatten() for places in (tile.patch, tile.around))
        hats = [hat[part] for hat, part in zip(self.hats, (strip.rows, strip.columns), strict=True)]
        hat = torch.einsum("yai,xbj->yxabij", *hats).reshape(n, n_query, 9)
        q = torch.bmm(hat.to(tile.q.dtype), tile.q.index_select(0, around).view(n, 9, -1))  # n, Q, C
        q = q.view(n, n_query, heads, depth).permute(2, 0, 1, 3)  # heads, n, Q, d

        by_row = self.bias[0][:, strip.rows].view(heads, ny, 1, a, 1, pixels)
        by_column = self.bias[1][:, strip.columns].view(heads, 1, nx, 1, b, pixels)
        logits = self.buffers.get("logits", by_row, heads, ny, nx, a, b, pixels)
        logits = torch.add(by_row, by_column, out=logits).view(heads, n, n_query, pixels)
        scale = 1.0 / math.sqrt(depth)
        for group in self._groups():
            q_group = q[group].reshape(-1, n_query, depth)
            k_group = self._gather(tile.k[group], patch).view(-1, pixels, depth).transpose(1, 2)
            part = logits[group].view(-1, n_query, pixels)
            if logits.dtype == q.dtype:
                part.baddbmm_(q_group, k_group, alpha=scale)
            else:
                part.add_(torch.bmm(q_group, k_group), alpha=scale)
        attention = torch.softmax(logits, -1, out=self.buffers.get("attention", logits, *logits.shape))
        attention = attention.unflatten(0, (-1, self.together)).permute(0, 2, 3, 1, 4)
        return attention.to(q.dtype, memory_format=torch.contiguous_format)

    def _first_layer(self, strip: Strip, tile: Tile, centre: Tensor, attention: Tensor) -> Tensor:
        """(n * Q, F) from attention (groups, n, Q, heads of a group, N)."""
        _, n, n_query, together, pixels = attention.shape
        depth, width = tile.weight.shape[2:]
        patch = (tile.patch.unsqueeze(1) + centre).flatten()  # N * n
        hidden = self.buffers.get("hidden", tile.v, n, n_query, width).copy_(self.head.bias)
        for attention_group, group in zip(attention, self._groups(), strict=True):
            v = self._gather(tile.v[group], patch).view(together, pixels, n, depth)
            for part, seen in strip.blocks:
                # Of every head and seen pixel, of every centre: T. Copies only where several heads see a part of N.
                values, weight = v[:, seen, part].flatten(0, 1), tile.weight[group, seen].flatten(0, 1)
                table = self.buffers.get("table", v, len(values), part.stop - part.start, width)
                torch.bmm(values, weight, out=table)
                hidden[part].baddbmm_(attention_group[part, :, :, seen].flatten(2), table.transpose(0, 1))
        return hidden.view(n * n_query, width)

    def _groups(self) -> list[slice]:
        """The heads that are computed together."""
        return [slice(h, h + self.together) for h in range(0, self.head.num_heads, self.together)]

    def _gather(self, table: Tensor, places: Tensor) -> Tensor:
        """Rows of several heads' tables, (heads, pixels, d) -> (heads * places, d); overwritten by the next call."""
        heads, pixels, depth = table.shape
        if not self.cpu:
            out = self.buffers.get("patch", table, heads, len(places), depth)
            return torch.index_select(table, 1, places, out=out).flatten(0, 1)
        if heads > 1:
            places = (torch.arange(heads, device=places.device).unsqueeze(1) * pixels + places).flatten()
        out = self.buffers.get("patch", table, len(places), depth)
        return torch.index_select(table.flatten(0, 1), 0, places, out=out)

    def _decode(self, hidden: Tensor, layers: list[tuple[Tensor, Tensor]]) -> Tensor:
        """(n, F) -> (n, 3); before each of the layers a GELU, in place."""
        for i, (weight, bias) in enumerate(layers):
            out = self.buffers.get(f"layer {i % 2}", hidden, len(hidden), len(weight))
            hidden = torch.addmm(bias, torch.ops.aten.gelu_(hidden), weight.T, out=out)
        return hidden


def lies_in_cache(device: torch.device) -> bool:
    """Whether parts are so small that they stay in cache, as a CPU wants them; else they fill an accelerator."""
    return device.type == "cpu"


def _grid_bias(rows: Tensor, columns: Tensor) -> tuple[Tensor, Tensor]:
    """(H_out, G_h, heads), (W_out, G_w, heads) -> (heads, H_out, N) and (heads, W_out, N), N = G_h * G_w."""
    g_h, g_w = rows.shape[1], columns.shape[1]
    return (
        rows.permute(2, 0, 1).unsqueeze(-1).expand(-1, -1, -1, g_w).flatten(2).contiguous(),
        columns.permute(2, 0, 1).unsqueeze(-2).expand(-1, -1, g_h, -1).flatten(2).contiguous(),
    )
