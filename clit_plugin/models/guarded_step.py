"""The optimiser step, which skips a bad batch: one whose loss or gradients are not finite."""

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from clit_plugin.utils.errors import UserError

_HISTORY = 256  # batches; on a GPU, a bad one is noticed some steps later


@dataclass(frozen=True)
class Batch:
    """What the error about skipped steps says about a batch."""

    files: Sequence[str]
    scale: Tensor  # scalar, on its device until it is reported


class GuardedStep:
    """Takes an optimiser step with clipped gradients, or skips it and leaves weights and optimiser state unchanged.

    With a fused optimiser the decision stays on the device, by the flag that PyTorch's own loss scaling uses, and no
    step synchronises with the GPU; the count of skipped steps is copied to the host asynchronously. With other
    optimisers, the host waits for the gradient norm.

    Args:
        optimizer: The optimiser.
        device: Device of its parameters.
        max_skipped: How many consecutive steps may be skipped.
        grad_clip: Limit of the norm of all gradients together; larger gradients are scaled down. None for no limit.
        scaler: Scales the loss, under float16. While it can still lower its scale, a step skipped only because of its
            gradients does not count.
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
        # Length of the current run of skipped steps, length of the longest run, and that one's last step.
        self.counts = torch.zeros(3, dtype=torch.long, device=device)
        self.host_counts = self.counts
        if self.on_device and device.type == "cuda":
            self.host_counts = torch.zeros(3, dtype=torch.long, pin_memory=True)
        self.sums = torch.zeros(3, device=device)  # since the last read: norms, steps taken, steps skipped
        self.batches: deque[tuple[int, Batch]] = deque(maxlen=_HISTORY)

    @torch.no_grad()
    def __call__(self, loss: Tensor, step: int, batch: Batch) -> None:
        """Take the step whose gradients are set, or skip it.

        Args:
            loss: Scalar, not scaled.
            step: Number of the step.
            batch: Named in the error if too many steps have been skipped.

        Raises:
            UserError: More than ``max_skipped`` consecutive steps were skipped.
        """
        if self.scaler is not None:
            self.scaler.unscale_(self.optimizer)
        gradients = [p.grad for group in self.optimizer.param_groups for p in group["params"] if p.grad is not None]
        norm = torch.linalg.vector_norm(torch.stack(torch._foreach_norm(gradients)))
        bad = self._on_any_process(~(norm.isfinite() & loss.isfinite()))
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
        self._check_skipped()

    def read(self) -> dict[str, float]:
        """Figures for the log, since the last read: mean norm before clipping, skipped steps, and the loss scale."""
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
        """Load a ``state_dict``; the empty one of a run without loss scaling changes nothing."""
        if self.scaler is not None and state:
            self.scaler.load_state_dict(dict(state))

    def _on_any_process(self, bad: Tensor) -> Tensor:
        """Whether the step is bad on any process: gradients are shared, but each process has its own loss."""
        if dist.is_initialized() and dist.get_world_size() > 1:
            flag = bad.float()
            dist.all_reduce(flag, dist.ReduceOp.MAX)
            bad = flag > 0
        return bad

    def _count(self, bad: Tensor, norm: Tensor, loss: Tensor, step: int) -> None:
        counted = bad
        if self.scaler is not None:
            counted = bad & (~loss.isfinite() | (self.scaler.scale(self.one) <= 1))
        run, longest, last = self.counts.unbind()
        run = torch.where(counted, run + 1, torch.where(bad, run, 0))
        last = torch.where(run > longest, step, last)
        self.counts.copy_(torch.stack([run, torch.maximum(run, longest), last]))
        self.sums += torch.stack([torch.where(bad, 0, norm), (~bad).float(), bad.float()])

    def _check_skipped(self) -> None:
        if self.host_counts is not self.counts:
            self.host_counts.copy_(self.counts, non_blocking=True)  # the next line may still read older counts
        _, longest, _ = self.host_counts.tolist()
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
