"""The decoder of LIT and CLIT as an ONNX graph: colours of a block of queries from the encoder's features."""

import math
from typing import cast

import numpy as np

from clit_plugin.archs.clit_arch import CLIT
from clit_plugin.archs.lit_branch import Branch
from clit_plugin.archs.positional_bias import PositionalBias
from clit_plugin.inference.onnx_graph import OnnxGraph, Value, run_mlp
from clit_plugin.inference.onnx_map import Band, Grid, MapAxis, Neighbour, Queries, blend, grid_of, neighbours, table


def clit_residual(graph: OnnxGraph, net: CLIT, feature: Value, queries: Queries, stage_sizes: Value | None) -> Value:
    """Eq. 9: the residual (Q, 3), over K + 1 branches for K grids.

    Args:
        graph: The graph under construction.
        net: The network.
        feature: (1, C, H, W), the output of ``net.conv_feat``.
        queries: The block of queries.
        stage_sizes: (K, 2) int64, the grids between the branches; None for a single branch.
    """
    g = graph
    first, *more = cast(list[Branch], list(net.branches))
    total = _branch(g, first, net.pos_bias, feature, grid_of(g, feature), queries, resized=False)
    for number, branch in enumerate(more):
        assert stage_sizes is not None

        def unchanged(total: Value = total) -> Value:
            return total

        def with_branch(total: Value = total, branch: Branch = branch, number: int = number) -> Value:
            size = g.op("Gather", stage_sizes, number)
            stage = Grid(*(MapAxis.of(g, g.op("Gather", size, axis)) for axis in (0, 1)))
            image = _branch(g, branch, net.pos_bias, feature, stage, queries, resized=True)
            return g.add(image, g.mul(total, float(net.discount)))

        num_stages = g.op("Gather", g.op("Shape", stage_sizes), 0)
        total = g.choose(g.op("Greater", num_stages, number), with_branch, unchanged)
    return total


def _branch(
    g: OnnxGraph,
    branch: Branch,
    pos_bias: PositionalBias | None,
    feature: Value,
    grid: Grid,
    queries: Queries,
    *,
    resized: bool,
) -> Value:
    """A branch's residual (Q, 3) on a map of the size of ``grid``: the feature itself, or the feature resized."""
    found = neighbours(g, queries, grid, branch.local_ensemble)
    margin = max(branch.local_grid[0] // 2, 1)  # of queries and keys; the convolutions need one row more
    band = Band.around(g, grid.rows, found, margin + 1)
    rows = _resized(g, feature, band, grid) if resized else band.take(g, feature, grid.rows)
    band = band.narrowed(g, 1)
    maps = {
        name: band.masked(g, g.conv(rows, conv.weight, conv.bias, [0, 1, 0, 1]))
        for name, conv in (("q", branch.to_q), ("k", branch.to_k), ("v", branch.to_v))
        if conv is not None
    }
    attention = _Attention(g, branch, pos_bias, maps, band, grid, queries)
    predictions = []
    for neighbour in found:
        values = attention.values(neighbour)
        if branch.cell_decoding:
            values = g.concat([values, queries.cells(g, grid)], 1)
        predictions.append(run_mlp(g, branch.decoder, values))
    return blend(g, predictions, found)


class _Attention:
    """Local attention on a band of a branch's maps."""

    def __init__(
        self,
        graph: OnnxGraph,
        branch: Branch,
        pos_bias: PositionalBias | None,
        maps: dict[str, Value],
        band: Band,
        grid: Grid,
        queries: Queries,
    ) -> None:
        self.graph, self.branch, self.pos_bias = graph, branch, pos_bias
        self.band, self.grid, self.queries = band, grid, queries
        self.channels = branch.to_v.out_channels
        g, pad = graph, branch.local_grid[1] // 2
        self.width = g.add(grid.columns.count, 2 * pad)
        padded = {name: g.op("Pad", maps[name], [0, 0, 0, pad, 0, 0, 0, pad]) for name in maps if name != "q"}
        self.tables = {name: table(g, value, self.channels) for name, value in padded.items()}
        self.query = self._sampled(maps["q"]) if "q" in maps else None

    def values(self, neighbour: Neighbour) -> Value:
        """Values of the local grid around each query's pixel, weighted if there is attention: (Q, N * C)."""
        g, (high, wide), c = self.graph, self.branch.local_grid, self.channels
        row = g.sub(neighbour.row, g.add(self.band.first, high // 2))
        flat = g.add(g.mul(row, self.width), neighbour.column)
        offsets = g.add(g.mul(_arange(g, high, (1, -1, 1)), self.width), _arange(g, wide, (1, 1, -1)))
        index = g.reshape(g.add(g.reshape(flat, [-1, 1, 1]), offsets), [-1, high * wide])  # Q, N
        values = g.op("Gather", self.tables["v"], index)  # Q, N, C
        if self.query is not None and self.pos_bias is not None:
            heads = self.pos_bias.out_features
            keys = g.reshape(g.op("Gather", self.tables["k"], index), [0, 0, heads, c // heads])
            product = g.op("ReduceSum", g.mul(self.query, keys), [3], keepdims=0)  # Q, N, heads
            logits = g.add(g.div(product, math.sqrt(c / heads)), self._bias(neighbour))
            weights = g.op("Unsqueeze", g.op("Softmax", logits, axis=1), [3])
            values = g.mul(weights, g.reshape(values, [0, 0, heads, c // heads]))
        return g.reshape(values, [-1, high * wide * c])

    def _sampled(self, query_map: Value) -> Value:
        """The query map, bilinear at each query: (Q, 1, heads, C / heads)."""
        assert self.pos_bias is not None
        g, heads = self.graph, self.pos_bias.out_features
        length = g.floats(g.op("Gather", g.op("Shape", self.band.index), 0))
        # In pixels of the map.
        position = g.div(g.sub(g.mul(g.add(self.queries.y, 1.0), self.grid.rows.extent), 1.0), 2.0)
        inside = g.sub(position, g.floats(self.band.first))
        y = g.sub(g.div(g.add(g.mul(inside, 2.0), 1.0), length), 1.0)
        grid = g.concat([g.reshape(value, [1, 1, -1, 1]) for value in (self.queries.x, y)], 3)
        sampled = g.op("GridSample", query_map, grid, mode="bilinear", padding_mode="zeros", align_corners=0)
        return g.reshape(g.op("Transpose", sampled, perm=[0, 3, 1, 2]), [-1, 1, heads, self.channels // heads])

    def _bias(self, neighbour: Neighbour) -> Value:
        """Eq. 5 for every pixel of the local grid, (Q, N, heads): one term for its row, one for its column."""
        assert self.pos_bias is not None
        g, parts = self.graph, []
        axes = zip(self.grid, (self.queries.y, self.queries.x), (neighbour.row, neighbour.column), strict=True)
        for number, (axis, coord, index) in enumerate(axes):
            side = self.branch.local_grid[number]
            delta = axis.delta(coord, index, range(-(side // 2), side // 2 + 1))
            parts.append(g.op("Unsqueeze", _bias_along(g, self.pos_bias, delta, number), [2 - number]))
        n = self.branch.local_grid[0] * self.branch.local_grid[1]
        return g.reshape(g.add(parts[0], parts[1]), [-1, n, self.pos_bias.out_features])


def _bias_along(g: OnnxGraph, pos_bias: PositionalBias, delta: Value, axis: int) -> Value:
    """One of ``PositionalBias.parts``: (Q, G) to (Q, G, heads)."""
    n = len(pos_bias.frequencies) or 1
    bias = pos_bias.bias if axis == 0 else None
    inputs, parts = g.op("Unsqueeze", delta, [-1]), [slice(axis * n, (axis + 1) * n)]
    if len(pos_bias.frequencies):
        phase = g.mul(inputs, pos_bias.frequencies)
        inputs = g.concat([g.op("Sin", phase), g.op("Cos", phase)], 2)
        parts.append(slice((axis + 2) * n, (axis + 3) * n))
    weight = np.concatenate([pos_bias.weight.detach().cpu().numpy()[:, part] for part in parts], 1)
    product = g.op("MatMul", inputs, np.ascontiguousarray(weight.T))
    return product if bias is None else g.add(product, bias)


def _resized(g: OnnxGraph, feature: Value, band: Band, grid: Grid) -> Value:
    """The band of a feature resized to a map of the size of ``grid`` (eq. 8), zeros outside."""
    y = g.reshape(grid.rows.centres(band.index), [1, -1, 1, 1])
    x = g.reshape(grid.columns.centres(g.op("Range", 0, grid.columns.count, 1)), [1, 1, -1, 1])
    both = g.op("Shape", g.add(y, x))
    points = g.concat([g.op("Expand", x, both), g.op("Expand", y, both)], 3)
    sampled = g.op("GridSample", feature, points, mode="bilinear", padding_mode="zeros", align_corners=0)
    return band.masked(g, sampled)


def _arange(g: OnnxGraph, n: int, shape: tuple[int, ...]) -> Value:
    return g.constant(np.arange(n, dtype=np.int64).reshape(shape))
