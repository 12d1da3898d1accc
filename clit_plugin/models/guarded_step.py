"""An optimiser's step that is not taken where the loss or a gradient is not finite."""

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from clit_plugin.utils.errors import UserError

_REMEMBERED = 256  # steps; on a GPU, what is wrong is noticed some steps later


@dataclass(frozen=True)
class Batch:
    """What is told of the batch of a skipped step."""

    files: Sequence[str]
    scale: Tensor  # a single number, on its device until it is told


class GuardedStep:
    """Takes an optimiser's step, clipped, or skips it with all that the optimiser remembers.

    With a fused optimiser the decision stays on the device, by the flag that PyTorch's own loss scaling uses, and no
    step waits for a GPU; the count of skipped steps is read as it arrives. Other optimisers wait for the norm.

    Args:
        optimizer: Its gradients are clipped and applied.
        device: Of its parameters.
        max_skipped: Steps in a row that may be skipped.
        grad_clip: Largest norm of all gradients together, to which larger ones are scaled; None for no limit.
        scaler: What has scaled the loss, under float16. While its scale can still be lowered, a step that it skips for
            gradients alone does not count.
    """

    def __init__(
        self,
        optimizer: torch.optim.Optimizer,
        *,
        device: torch.device,
        max_skipped: int = 10,
        grad_clip: float | None = None,
        scaler: torch.amp.GradScaler | None = None,
    ) -> None:
        self.optimizer, self.scaler = optimizer, scaler
        self.max_skipped, self.grad_clip = max_skipped, grad_clip
        self.on_device = all(group.get("fused") for group in optimizer.param_groups)
        self.one = torch.ones((), device=device)
        self.counts = torch.zeros(3, dtype=torch.long, device=device)  # skipped in a row; longest row; last step of it
        self.arrived = self.counts
        if self.on_device and device.type == "cuda":
            self.arrived = torch.zeros(3, dtype=torch.long, pin_memory=True)
        self.sums = torch.zeros(3, device=device)  # since the last reading: norms, steps taken, steps skipped
        self.batches: deque[tuple[int, Batch]] = deque(maxlen=_REMEMBERED)

    @torch.no_grad()
    def __call__(self, loss: Tensor, step: int, batch: Batch) -> None:
        """Take the step whose gradients are set, or skip it.

        Args:
            loss: A single number, not scaled.
            step: Its number.
            batch: Told of if it is one step too many.

        Raises:
            UserError: More than ``max_skipped`` in a row were skipped.
        """
        if self.scaler is not None:
            self.scaler.unscale_(self.optimizer)
        gradients = [p.grad for group in self.optimizer.param_groups for p in group["params"] if p.grad is not None]
        norm = torch.linalg.vector_norm(torch.stack(torch._foreach_norm(gradients)))
        bad = self._anywhere(~(norm.isfinite() & loss.isfinite()))
        self._count(bad, norm, loss, step)
        if self.grad_clip is not None:
            torch._foreach_mul_(gradients, (self.grad_clip / (norm + 1e-6)).clamp(max=1))
        if self.on_device:
            self.optimizer.found_inf = bad.float()  # type: ignore[attr-defined]
            self.optimizer.step()
        elif not bad:
            self.optimizer.step()
        if self.scaler is not None:
            self.scaler.update()
        self.batches.append((step, batch))
        self._stop_at_too_many()

    def read(self) -> dict[str, float]:
        """For the log, since the last reading: mean norm before clipping, skipped steps, and the loss's scale."""
        norms, taken, skipped = self.sums.tolist()
        self.sums.zero_()
        numbers: dict[str, float] = {}
        if self.grad_clip is not None and taken:
            numbers["grad_norm"] = norms / taken
        if skipped:
            numbers["skipped"] = skipped
        if self.scaler is not None:
            numbers["loss_scale"] = self.scaler.get_scale()
        return numbers

    def state_dict(self) -> dict[str, Any]:
        """What a resume needs."""
        return {} if self.scaler is None else self.scaler.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on with what ``state_dict`` gave; with nothing, of a run without loss scaling, as new."""
        if self.scaler is not None and state:
            self.scaler.load_state_dict(dict(state))

    def _anywhere(self, bad: Tensor) -> Tensor:
        """Whether it is bad on any process: gradients are shared, but every process has a loss of its own."""
        if dist.is_initialized() and dist.get_world_size() > 1:
            flag = bad.float()
            dist.all_reduce(flag, dist.ReduceOp.MAX)
            bad = flag > 0
        return bad

    def _count(self, bad: Tensor, norm: Tensor, loss: Tensor, step: int) -> None:
        counted = bad
        if self.scaler is not None:
            counted = bad & (~loss.isfinite() | (self.scaler.scale(self.one) <= 1))
        row, longest, last = self.counts.unbind()
        row = torch.where(counted, row + 1, torch.where(bad, row, 0))
        last = torch.where(row > longest, step, last)
        self.counts.copy_(torch.stack([row, torch.maximum(row, longest), last]))
        self.sums += torch.stack([torch.where(bad, 0, norm), (~bad).float(), bad.float()])

    def _stop_at_too_many(self) -> None:
        if self.arrived is not self.counts:
            self.arrived.copy_(self.counts, non_blocking=True)  # what is read below may be of a step before
        _, longest, _ = self.arrived.tolist()
        if longest <= self.max_skipped:
            return
        _, longest, last = self.counts.tolist()
        batch = next((batch for step, batch in self.batches if step == last), None)
        told = f"step {last}: {longest} steps in a row had a loss or gradients that are not finite"
        if batch is not None:
            files = ", ".join(batch.files[:4]) + (f" and {len(batch.files) - 4} more" if len(batch.files) > 4 else "")
            told += f", the last at x{batch.scale.item():.4g} of {files}"
        raise UserError(f"{told}; lower train.optim_g.lr, set train.grad_clip, or allow more by train.max_skipped")
