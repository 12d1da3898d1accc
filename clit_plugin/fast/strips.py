"""The order in which an output grid is evaluated: strips of LR pixels that have equally many queries each."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from clit_plugin.fast.tile_tables import Layout
from clit_plugin.ops.coordinates import Size


@dataclass(frozen=True)
class Run:
    """Outputs [start, start + count) of an axis, which share one centre: the same nearest pixel of the map."""

    centre: int
    start: int
    count: int


class Group(NamedTuple):
    """Runs of an axis that have equally many outputs.

    centres: Their centres.
    centre: (n,), the same on the device.
    outputs: (n, count), on the device.
    """

    centres: Sequence[int]
    centre: Tensor
    outputs: Tensor

    def part(self, start: int, stop: int) -> "Group":
        """The runs [start, stop)."""
        return Group(self.centres[start:stop], self.centre[start:stop], self.outputs[start:stop])


class Strip:
    """Centres of ny rows and nx columns, n = ny * nx, with a x b queries each.

    Args:
        rows: The rows' runs, of a outputs each.
        columns: The columns' runs, of b outputs each.
        size: (H, W) of the map.
        grid: (G_h, G_w) of the local grid.
        block: Centres of a block, at most; see ``blocks``.

    Attributes:
        rows: (ny, a), rows of the output.
        columns: (nx, b), columns of the output.
        blocks: The n centres in parts, and what of the N local grid pixels lies inside the image for some of a part's
            centres: outside values are zero. Slices of n and of N.
    """

    def __init__(self, rows: Group, columns: Group, *, size: Size, grid: Size, block: int) -> None:
        self.rows, self.columns = rows.outputs, columns.outputs
        self._centres = rows.centre, columns.centre
        nx = len(columns.centres)
        self.blocks: list[tuple[slice, slice]] = []
        for start in range(0, len(rows.centres) * nx, block):
            stop = min(start + block, len(rows.centres) * nx)
            centres = rows.centres[start // nx : (stop - 1) // nx + 1]
            top = max(0, grid[0] // 2 - max(centres))
            bottom = min(grid[0], grid[0] // 2 + size[0] - min(centres))
            self.blocks.append((slice(start, stop), slice(top * grid[1], bottom * grid[1])))

    def places(self, layout: Layout) -> Tensor:
        """(n,): the centres in a tile's table of pixels."""
        return layout.places(self._centres[0].unsqueeze(-1), self._centres[1]).flatten()

    def arrange(self, rgb: Tensor) -> Tensor:
        """(n * a * b, 3), centre by centre, as a part of the image: (ny * a, nx * b, 3)."""
        (ny, a), (nx, b) = self.rows.shape, self.columns.shape
        return rgb.view(ny, nx, a, b, 3).transpose(1, 2).reshape(ny * a, nx * b, 3)


class Limits(NamedTuple):
    """How large the parts of the evaluation are, at most.

    queries: Queries of a strip.
    centres: Centres of a strip.
    block: Centres of a block.
    """

    queries: int
    centres: int
    block: int


def strips(
    rows: Sequence[Run], columns: Sequence[Run], *, size: Size, grid: Size, limits: Limits, device: torch.device
) -> Iterator[Strip]:
    """Cut the centres rows x columns into strips, whose indices are on ``device``; the rest as in ``Strip``."""
    max_queries, longest = limits.queries, max(run.count for run in rows)
    row_groups: dict[int, list[Group]] = {}  # by the longest run
    for column_group in _by_count(columns, max_queries, device):
        nx, b = column_group.outputs.shape
        tallest = min(longest, max(1, max_queries // b))
        if tallest not in row_groups:
            row_groups[tallest] = _by_count(rows, tallest, device)
        for row_group in row_groups[tallest]:
            ny, a = row_group.outputs.shape
            centres = max(1, min(limits.centres, max_queries // (a * b)))
            wide = -(-nx // -(-nx // centres))  # even parts
            tall = max(1, centres // wide)
            for y in range(0, ny, tall):
                for x in range(0, nx, wide):
                    parts = row_group.part(y, y + tall), column_group.part(x, x + wide)
                    yield Strip(*parts, size=size, grid=grid, block=limits.block)


def runs_of(index: Tensor) -> list[Run]:
    """Outputs of an axis by centre: ``index`` (n_out,) never falls."""
    centres, counts = torch.unique_consecutive(index.cpu(), return_counts=True)
    starts = counts.cumsum(0) - counts
    return [Run(*run) for run in zip(centres.tolist(), starts.tolist(), counts.tolist(), strict=True)]


def _by_count(runs: Sequence[Run], max_count: int, device: torch.device) -> list[Group]:
    """Runs by their length, longer ones than ``max_count`` cut up."""
    groups: dict[int, list[tuple[int, int]]] = defaultdict(list)  # centres and first outputs
    for run in runs:
        for start in range(0, run.count, max_count):
            groups[min(max_count, run.count - start)].append((run.centre, run.start + start))
    return [_group(count, members, device) for count, members in groups.items()]


def _group(count: int, runs: Sequence[tuple[int, int]], device: torch.device) -> Group:
    centre, starts = torch.tensor(runs).T.to(device)  # one copy: a GPU's host waits for each
    outputs = starts.unsqueeze(-1) + torch.arange(count, device=device)
    return Group([first for first, _ in runs], centre, outputs)
