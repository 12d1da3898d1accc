"""Parts of an output grid and of the maps beneath it, as ``planar_attention`` computes them: queries innermost."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from clit_plugin.fast.axis import Axis
from clit_plugin.fast.buffers import Buffers
from clit_plugin.fast.strips import Run
from clit_plugin.fast.tile_tables import Window

Shape = tuple[int, int, int, int]  # centre rows ny, outputs a of each, phases, columns X of a phase
_MAX_ROWS = 8  # rows of a block with the same centre
_MAX_PHASES = 4


class Part(NamedTuple):
    """A window with the rows and columns of the output whose centres lie in it."""

    window: Window
    rows: list[Run]
    columns: list[Run]

    @property
    def outputs(self) -> tuple[slice, slice]:
        """Rows and columns."""
        rows, columns = (slice(runs[0].start, runs[-1].start + runs[-1].count) for runs in (self.rows, self.columns))
        return rows, columns


class Columns(NamedTuple):
    """The columns of a part in the order in which they are computed.

    Where every centre has the same few, the first of each comes first, then the second: a column of k or v serves all
    these phases. Elsewhere there is one phase, and the centres repeat.

    outputs: (phases, X), columns of the output.
    centres: (X,), columns of the map.
    """

    outputs: Tensor
    centres: Tensor


class Block(NamedTuple):
    """A block of queries: of neighbouring centre rows the same number of outputs each, in the columns [start, stop).

    centre: The first centre row.
    y: The first output row.
    shape: See ``Shape``.
    """

    centre: int
    y: int
    start: int
    stop: int
    shape: Shape

    @property
    def rows(self) -> int:
        """Rows of the output."""
        return self.shape[0] * self.shape[1]

    @property
    def queries(self) -> int:
        return self.rows * self.shape[2] * self.shape[3]


def order_columns(runs: Sequence[Run], max_queries: int) -> Columns:
    """The columns of a part by centre, of which a block has at most ``max_queries``."""
    count = runs[0].count
    phases = count if count <= min(_MAX_PHASES, max_queries) and all(run.count == count for run in runs) else 1
    outputs = torch.arange(runs[0].start, runs[-1].start + runs[-1].count).view(-1, phases).T
    repeats = torch.tensor([run.count // phases for run in runs])
    return Columns(outputs, torch.tensor([run.centre for run in runs]).repeat_interleave(repeats))


def blocks(runs: Sequence[Run], columns: Columns, max_queries: int) -> Iterator[Block]:
    """The rows of a part in blocks of at most ``max_queries`` queries."""
    phases, n = columns.outputs.shape
    for group in _groups(runs, min(_MAX_ROWS, max_queries // phases)):
        a = group[0].count
        wide = -(-n // -(-n // max(1, max_queries // (a * phases))))  # even parts
        ny = max(1, max_queries // (a * phases * wide))
        for first in range(0, len(group), ny):
            chunk = group[first : first + ny]
            for start in range(0, n, wide):
                stop = min(start + wide, n)
                yield Block(chunk[0].centre, chunk[0].start, start, stop, (len(chunk), a, phases, stop - start))


def _groups(runs: Sequence[Run], max_count: int) -> list[list[Run]]:
    """Runs of neighbouring centres with equally many outputs; one longer than ``max_count`` is cut into single runs."""
    groups: list[list[Run]] = []
    for run in runs:
        last = groups[-1][-1] if groups else None
        if run.count > max_count:
            parts = range(0, run.count, max_count)
            groups += [[Run(run.centre, run.start + i, min(max_count, run.count - i))] for i in parts]
        elif last is not None and (last.count, last.centre + 1) == (run.count, run.centre):
            groups[-1].append(run)
        else:
            groups.append([run])
    return groups


def near_columns(table: Tensor, centres: Tensor, width: int, buffers: Buffers, name: str) -> Tensor:
    """(C, rows, width, X): of (C, rows, columns) the ``width`` columns about each of ``centres``, a view if possible.

    Args:
        table: What is looked at.
        centres: (X,), columns of the table.
        width: Odd.
        buffers: The result may lie there,
        name: under this name.
    """
    first, n = int(centres[0]) - width // 2, len(centres)
    if torch.equal(centres, torch.arange(int(centres[0]), int(centres[0]) + n)):
        return table[..., first : first + n + width - 1].unfold(2, n, 1)
    offsets = torch.arange(-(width // 2), width // 2 + 1).unsqueeze(1)
    places = (centres + offsets).flatten().expand(*table.shape[:2], -1)
    out = buffers.get(name, table, *places.shape)
    return torch.gather(table, 2, places, out=out).unflatten(2, (width, n))


def interpolate(
    table: Tensor, columns: Columns, outputs: slice, axes: tuple[Axis, Axis], origin: tuple[int, int], buffers: Buffers
) -> Tensor:
    """q at the queries of chunk rows and columns.

    Args:
        table: q, (C, rows, columns).
        columns: Which columns.
        outputs: Rows of the output.
        axes: Rows and columns of the output.
        origin: (y, x) of the table in the map.
        buffers: The result lies there.

    Returns:
        (C, rows of the output, phases, X).
    """
    (phases, n), (c, rows) = columns.outputs.shape, table.shape[:2]
    near = near_columns(table, columns.centres - origin[1], 3, buffers, "near")
    hat = axes[1].hat[columns.outputs].to(table.dtype)  # phases, X, 3
    wide = buffers.get("wide", table, c, rows, phases, n)
    torch.mul(near[:, :, :1], hat[..., 0], out=wide)
    for i in (1, 2):
        torch.addcmul(wide, near[:, :, i : i + 1], hat[..., i], out=wide)
    centres = axes[0].index[outputs].unsqueeze(1) - origin[0]
    weights = table.new_zeros(len(centres), rows)
    weights.scatter_(1, centres + torch.arange(-1, 2), axes[0].hat[outputs].to(table.dtype))
    q = buffers.get("q", table, c, len(centres), phases * n)
    torch.bmm(weights.expand(c, -1, -1), wide.view(c, rows, -1), out=q)
    return q.view(c, -1, phases, n)
