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


class Strip:
    """Centres of ny rows and nx columns, n = ny * nx, with a x b queries each.

    Args:
        rows: The rows' runs, all of a outputs.
        columns: The columns' runs, all of b outputs.
        size: (H, W) of the map.
        grid: (G_h, G_w) of the local grid.
        block: Centres of a block, at most; see ``blocks``.
        device: Where its indices are.

    Attributes:
        rows: (ny, a), rows of the output.
        columns: (nx, b), columns of the output.
        blocks: The n centres in parts, and what of the N local grid pixels lies inside the image for some of a part's
            centres: outside values are zero. Slices of n and of N.
    """

    def __init__(
        self, rows: Sequence[Run], columns: Sequence[Run], *, size: Size, grid: Size, block: int, device: torch.device
    ) -> None:
        self.rows, self.columns = (_outputs(runs).to(device) for runs in (rows, columns))
        self._centres = [torch.tensor([run.centre for run in runs], device=device) for runs in (rows, columns)]
        nx = len(columns)
        self.blocks: list[tuple[slice, slice]] = []
        for start in range(0, len(rows) * nx, block):
            stop = min(start + block, len(rows) * nx)
            centres = [run.centre for run in rows[start // nx : (stop - 1) // nx + 1]]
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
    """Cut the centres rows x columns into strips; the rest as in ``Strip``."""
    for b, some_columns in _by_count(columns, limits.queries).items():
        for a, some_rows in _by_count(rows, max(1, limits.queries // b)).items():
            centres = max(1, min(limits.centres, limits.queries // (a * b)))
            nx = -(-len(some_columns) // -(-len(some_columns) // centres))  # even parts
            ny = max(1, centres // nx)
            for y in range(0, len(some_rows), ny):
                for x in range(0, len(some_columns), nx):
                    yield Strip(
                        some_rows[y : y + ny],
                        some_columns[x : x + nx],
                        size=size,
                        grid=grid,
                        block=limits.block,
                        device=device,
                    )


def runs_of(index: Tensor) -> list[Run]:
    """Outputs of an axis by centre: ``index`` (n_out,) never falls."""
    centres, counts = torch.unique_consecutive(index.cpu(), return_counts=True)
    starts = counts.cumsum(0) - counts
    return [Run(*run) for run in zip(centres.tolist(), starts.tolist(), counts.tolist(), strict=True)]


def _by_count(runs: Sequence[Run], most: int) -> dict[int, list[Run]]:
    """Runs by their length, longer ones than ``most`` cut up."""
    groups: dict[int, list[Run]] = defaultdict(list)
    for run in runs:
        for start in range(0, run.count, most):
            count = min(most, run.count - start)
            groups[count].append(Run(run.centre, run.start + start, count))
    return groups


def _outputs(runs: Sequence[Run]) -> Tensor:
    """(number of runs, their length)."""
    starts = torch.tensor([run.start for run in runs])
    return starts.unsqueeze(-1) + torch.arange(runs[0].count)
