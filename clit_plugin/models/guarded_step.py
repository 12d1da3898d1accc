"""An optimiser's step that is skipped if the loss or a gradient is not finite."""

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from clit_plugin.utils.errors import UserError

_REMEMBERED = 256  # steps; on a GPU, a bad one is noticed some steps later


@dataclass(frozen=True)
class Batch:
    """What is reported about the batch of a skipped step."""

    files: Sequence[str]
    scale: Tensor  # a single number, on its device until it is reported


class GuardedStep:
    """Takes an optimiser's step with clipped gradients, or skips it and leaves the optimiser's state as it is.

    With a fused optimiser the decision stays on the device, through the flag that PyTorch's own loss scaling uses, and
    no step synchronises with the GPU; the count of skipped steps is read when it arrives. Other optimisers wait for the
    norm.

    Args:
        optimizer: Its gradients are clipped and applied.
        device: Of its parameters.
        max_skipped: How many consecutive steps may be skipped.
        grad_clip: Largest norm of all gradients together; larger ones are scaled down to it. None for no limit.
        scaler: Scales the loss, under float16. While its scale can still be lowered, a step that is skipped because of
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
        # The current run of skipped steps, the longest run, and the last step of that one.
        self.counts = torch.zeros(3, dtype=torch.long, device=device)
        self.arrived = self.counts
        if self.on_device and device.type == "cuda":
            self.arrived = torch.zeros(3, dtype=torch.long, pin_memory=True)
        self.sums = torch.zeros(3, device=device)  # since the last read: norms, steps taken, steps skipped
        self.batches: deque[tuple[int, Batch]] = deque(maxlen=_REMEMBERED)

    @torch.no_grad()
    def __call__(self, loss: Tensor, step: int, batch: Batch) -> None:
        """Take the step whose gradients are set, or skip it.

        Args:
            loss: A single number, not scaled.
            step: Its number.
            batch: Named in the error if this is one step too many.

        Raises:
            UserError: More than ``max_skipped`` consecutive steps were skipped.
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
            optimizer: Any = self.optimizer
            optimizer.found_inf = bad.float()  # an attribute that fused optimisers look for
            optimizer.step()
        elif not bad:
            self.optimizer.step()
        if self.scaler is not None:
            self.scaler.update()
        self.batches.append((step, batch))
        self._stop_at_too_many()

    def read(self) -> dict[str, float]:
        """For the log, since the last read: mean norm before clipping, skipped steps, and the loss's scale."""
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
        """Load what ``state_dict`` returned; an empty state, of a run without loss scaling, changes nothing."""
        if self.scaler is not None and state:
            self.scaler.load_state_dict(dict(state))

    def _anywhere(self, bad: Tensor) -> Tensor:
        """Whether it is bad on any process: gradients are shared, but each process has its own loss."""
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
            self.arrived.copy_(self.counts, non_blocking=True)  # what is read below may be from an earlier step
        _, longest, _ = self.arrived.tolist()
        if longest <= self.max_skipped:
            return
        _, longest, last = self.counts.tolist()
        batch = next((batch for step, batch in self.batches if step == last), None)
        steps, last_one = ("a step", "") if longest == 1 else (f"{longest} consecutive steps", "the last ")
        text = f"step {last}: {steps} with a loss or gradients that are not finite"
        if batch is not None:
            files = ", ".join(batch.files[:4]) + (f" and {len(batch.files) - 4} more" if len(batch.files) > 4 else "")
            text += f", {last_one}at x{batch.scale.item():.4g} of {files}"
        raise UserError(f"{text}; lower train.optim_g.lr, set train.grad_clip, or raise train.max_skipped")
