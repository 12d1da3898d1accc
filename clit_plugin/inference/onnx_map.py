"""Geometry of feature maps in an ONNX graph, and the rows that a block of queries depends on.

The formulas, and the order of their operations, are those of ``ops.coordinates`` and ``ops.local_ensemble``. Pixels are
gathered by integer indices: on the border between two pixels, the rounding of ``GridSample`` depends on the runtime.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from clit_plugin.inference.onnx_graph import OnnxGraph, Value
from clit_plugin.ops.local_ensemble import EDGE, SHIFTS, TINY_AREA


@dataclass(frozen=True)
class MapAxis:
    """One axis of a map: its number of pixels, as int64 and float32 scalars."""

    graph: OnnxGraph
    count: Value
    extent: Value

    @classmethod
    def of(cls, graph: OnnxGraph, count: Value) -> "MapAxis":
        """An axis of ``count`` pixels, a scalar int64."""
        return cls(graph, count, graph.floats(count))

    def centres(self, index: Value) -> Value:
        """Coordinates of the pixels with these indices, (...) int64."""
        g = self.graph
        first = g.div(g.sub(1.0, self.extent), self.extent)
        return g.add(first, g.mul(g.div(2.0, self.extent), g.floats(index)))

    def nearest(self, coord: Value) -> Value:
        """The pixels, (...) int64, nearest to coordinates (...)."""
        g = self.graph
        position = g.sub(g.mul(g.add(coord, 1.0), g.div(self.extent, 2.0)), 0.5)
        return g.integers(g.clip(g.op("Round", position), 0.0, g.sub(self.extent, 1.0)))

    def shifted(self, coord: Value, shift: int) -> Value:
        """Coordinates moved by half a pixel, clamped to the image, as in the local ensemble."""
        g = self.graph
        moved = g.add(g.add(coord, g.div(float(shift), self.extent)), EDGE)
        return g.clip(moved, EDGE - 1, 1 - EDGE)

    def delta(self, coord: Value, index: Value, offsets: Sequence[int]) -> Value:
        """Coordinates (Q,) relative to the pixels around ``index`` (Q,), in half pixels of the map: (Q, offsets)."""
        g = self.graph
        steps = g.mul(g.floats(list(offsets)), g.div(2.0, self.extent))
        points = g.add(g.op("Unsqueeze", self.centres(index), [-1]), steps)
        return g.mul(g.sub(g.op("Unsqueeze", coord, [-1]), points), self.extent)


class Grid(NamedTuple):
    """Both axes of a map."""

    rows: MapAxis
    columns: MapAxis


@dataclass(frozen=True)
class Queries:
    """A block of queries: coordinates along both axes, (Q,) each, and the cell, (2,)."""

    y: Value
    x: Value
    cell: Value

    def cells(self, graph: OnnxGraph, grid: Grid) -> Value:
        """The cell in half pixels of a map, repeated for each query: (Q, 2)."""
        size = graph.concat([graph.reshape(axis.extent, [1]) for axis in grid], 0)
        count = graph.op("Shape", self.y)
        return graph.op("Expand", graph.mul(self.cell, size), graph.concat([count, [2]], 0))


@dataclass(frozen=True)
class Neighbour:
    """An LR pixel per query: row and column, (Q,) int64 each, and the query relative to it, (Q, 2)."""

    row: Value
    column: Value
    delta: Value


def neighbours(graph: OnnxGraph, queries: Queries, grid: Grid, ensemble: bool) -> list[Neighbour]:
    """The pixels from which each query is predicted: the four of the local ensemble, or the nearest one."""
    found = []
    for shift in SHIFTS if ensemble else ((0, 0),):
        indices, deltas = [], []
        for axis, coord, step in zip(grid, (queries.y, queries.x), shift, strict=True):
            indices.append(axis.nearest(axis.shifted(coord, step) if ensemble else coord))
            deltas.append(axis.delta(coord, indices[-1], [0]))
        found.append(Neighbour(indices[0], indices[1], graph.concat(deltas, 1)))
    return found


def blend(graph: OnnxGraph, predictions: Sequence[Value], found: Sequence[Neighbour]) -> Value:
    """Blend predictions (Q, 3), each weighted by the area at the opposite corner."""
    if len(predictions) == 1:
        return predictions[0]
    g = graph
    areas = [
        g.add(g.op("Abs", g.mul(*(g.op("Slice", n.delta, [axis], [axis + 1], [1]) for axis in (0, 1)))), TINY_AREA)
        for n in found
    ]
    total = areas[0]
    for area in areas[1:]:
        total = g.add(total, area)
    parts = [g.mul(p, g.div(area, total)) for p, area in zip(predictions, reversed(areas), strict=True)]
    blended = parts[0]
    for part in parts[1:]:
        blended = g.add(blended, part)
    return blended


@dataclass(frozen=True)
class Band:
    """Consecutive rows of a map that a block of queries depends on; some may lie outside the map.

    first: Scalar int64.
    index: (R,) int64, the rows.
    inside: (R,) float32, 1 for rows of the map and 0 outside.
    """

    first: Value
    index: Value
    inside: Value

    @classmethod
    def around(cls, graph: OnnxGraph, rows: MapAxis, found: Sequence[Neighbour], margin: int) -> "Band":
        """The band from ``margin`` rows above the first neighbour to ``margin`` rows below the last."""
        g = graph
        centres = g.concat([neighbour.row for neighbour in found], 0)
        first = g.sub(g.op("ReduceMin", centres, keepdims=0), margin)
        last = g.add(g.op("ReduceMax", centres, keepdims=0), margin + 1)
        index = g.op("Range", first, last, 1)
        inside = g.op("And", g.op("GreaterOrEqual", index, 0), g.op("Less", index, rows.count))
        return cls(first, index, g.floats(inside))

    def narrowed(self, graph: OnnxGraph, margin: int) -> "Band":
        """The band without ``margin`` rows on either side, as after an unpadded convolution."""
        if margin == 0:
            return self
        cut = [graph.op("Slice", value, [margin], [-margin], [0]) for value in (self.index, self.inside)]
        return Band(graph.add(self.first, margin), cut[0], cut[1])

    def take(self, graph: OnnxGraph, feature: Value, rows: MapAxis) -> Value:
        """The band's rows of a map (1, C, H, W), zero outside the map."""
        clipped = graph.clip(self.index, 0, graph.sub(rows.count, 1))
        return self.masked(graph, graph.op("Gather", feature, clipped, axis=2))

    def masked(self, graph: OnnxGraph, band: Value) -> Value:
        """Set the rows (1, C, R, W) outside the map to zero."""
        return graph.mul(band, graph.reshape(self.inside, [1, 1, -1, 1]))


def grid_of(graph: OnnxGraph, feature: Value) -> Grid:
    """Both axes of a map (1, C, H, W)."""
    shape = graph.op("Shape", feature)
    return Grid(*(MapAxis.of(graph, graph.op("Gather", shape, index)) for index in (2, 3)))


def table(graph: OnnxGraph, band: Value, channels: int) -> Value:
    """Pixels of a map (1, C, R, W) row by row, (R * W, C)."""
    return graph.reshape(graph.op("Transpose", band, perm=[0, 2, 3, 1]), [-1, channels])
