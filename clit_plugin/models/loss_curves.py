"""Training curves: the loss in total, by branch and by scale, and the speed."""

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.distributed as dist
from torch import Tensor

_EDGES = (2.0, 4.0, 8.0, 16.0)
RANGES = ("x1-2", "x2-4", "x4-8", "x8-16", "x16_up")  # as tensorboard allows them in a name


class LossCurves:
    """Means of a loss, accumulated on its device and read when they are printed: no step waits for the GPU.

    ``l_pix`` is the mean since the last read. The mean of a group is smoothed over about ``window`` of its own steps:
    ``l_branch_2`` over steps whose last branch is the second, ``l_x2-4`` over those whose scale is from 2 to below 4.
    A loss that is not finite appears in ``l_pix`` and is left out of the groups.

    Args:
        num_branches: Branches of the network; with a single one there are no groups by branch.
        device: Device of the loss.
        window: Number of a group's steps over which it is smoothed; before that, it is close to the plain mean.
    """

    def __init__(self, *, num_branches: int, device: torch.device, window: int = 100) -> None:
        branches = range(1, num_branches + 1) if num_branches > 1 else range(0)
        self.names = [f"l_branch_{n}" for n in branches] + [f"l_{name}" for name in RANGES]
        self.window = window
        # -1, -2, ... are branches; 0, 1, ... are scale ranges.
        self._ids = torch.tensor([-n for n in branches] + list(range(len(RANGES))), device=device)
        self._edges = torch.tensor(_EDGES, device=device)
        self._groups = torch.zeros(2, len(self.names), device=device)  # decaying sums of the loss and of its weight
        self._sum = torch.zeros(1, device=device)
        self._steps = 0

    @torch.no_grad()
    def add(self, loss: Tensor, *, scale: Tensor, branches: int) -> None:
        """Add a step's loss.

        Args:
            loss: Scalar.
            scale: Total scale of the batch, a scalar.
            branches: Number of branches in use.
        """
        loss = loss.detach().float()
        self._sum += loss
        self._steps += 1
        # A crop is a whole number of pixels, from which float32 does not recover the scale exactly.
        group = torch.bucketize(scale + 1e-4, self._edges, right=True)
        hit = ((self._ids == group) | (self._ids == -branches)) & loss.isfinite()
        step = torch.stack([loss.nan_to_num(), torch.ones_like(loss)])
        self._groups = torch.lerp(self._groups, step[:, None], hit / self.window)

    def read(self) -> dict[str, float]:
        """The means over all processes, on rank 0; every process calls it. ``l_pix`` restarts."""
        values, processes = torch.cat([self._sum, self._groups.flatten()]), 1
        if dist.is_initialized() and dist.get_world_size() > 1:
            dist.reduce(values, dst=0)
            processes = dist.get_world_size()
        total, *groups = values.tolist()
        means = {"l_pix": total / (self._steps * processes) if self._steps else math.nan}
        for name, loss, weight in zip(self.names, groups, groups[len(self.names) :], strict=False):
            if weight:
                means[name] = loss / weight
        self._sum.zero_()
        self._steps = 0
        return means


def total_scale(lq: Tensor, cell: Tensor) -> Tensor:
    """The scale of a batch, on its device: the mean over its images of the square root of both axes' product.

    Args:
        lq: (B, 3, h, w).
        cell: (B, 2) = (2 / H, 2 / W).
    """
    return (4 / (cell.prod(1) * lq.shape[-2] * lq.shape[-1])).sqrt().mean()


class Pace:
    """Wall-clock seconds per step between two reads, without paused time (validation, checkpoints).

    Steps are not timed one by one because a GPU runs them asynchronously.
    """

    def __init__(self) -> None:
        self.steps = 0
        self.since: float | None = None

    def step(self) -> None:
        """Count a step, at its beginning."""
        if self.since is None:
            self.since = time.perf_counter()
        self.steps += 1

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Exclude the time spent inside the block."""
        start = time.perf_counter()
        yield
        if self.since is not None:
            self.since += time.perf_counter() - start

    def read(self) -> float:
        """Seconds per step since the last read, once the device has finished its work; NaN before the first step."""
        now = time.perf_counter()
        seconds = (now - self.since) / self.steps if self.since is not None and self.steps else math.nan
        self.since, self.steps = now, 0
        return seconds
