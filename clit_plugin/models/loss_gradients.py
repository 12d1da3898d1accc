"""Forward and backward pass of a training step."""

from collections.abc import Sequence
from contextlib import nullcontext

import numpy as np
import torch
from torch import Tensor, nn

from clit_plugin.models.captured_step import CapturedStep, Sizes
from clit_plugin.models.cast_together import cast_together


def seed_step(seed: int, current_iter: int, rank: int) -> None:
    """Seed torch for one step of one process.

    Random draws inside a network, such as SwinIR's drop path, then depend on the step alone: a resumed run repeats
    them.
    """
    torch.manual_seed(int(np.random.SeedSequence((seed, current_iter, rank)).generate_state(1)[0]))


class LossGradients:
    """Computes output and loss of a batch, and the gradients of the network's parameters.

    Args:
        net: The network, in DistributedDataParallel if there are several processes.
        criterion: Maps output and ground truth to the loss.
        device: Device of the network.
        autocast: Dtype of autocast; None for float32.
        accumulate: Number of equal parts in which a batch is computed, one after another.
        scaler: Scales the loss, under float16.
        captured: Replay the step as CUDA graphs; needs one process on a GPU, ``accumulate`` 1 and no scaler.
    """

    def __init__(
        self,
        net: nn.Module,
        criterion: nn.Module,
        *,
        device: torch.device,
        autocast: torch.dtype | None = None,
        accumulate: int = 1,
        scaler: torch.amp.GradScaler | None = None,
        captured: bool = False,
    ) -> None:
        self.net, self.criterion, self.device = net, criterion, device
        self.autocast, self.accumulate, self.scaler = autocast, accumulate, scaler
        # DDP exchanges gradients while the backward pass runs; cast together, they would all arrive at its end.
        self.distributed = isinstance(net, nn.parallel.DistributedDataParallel)
        self.captured = CapturedStep(net, self.forward) if captured else None

    def __call__(self, inputs: Sequence[Tensor], stage_sizes: Sizes) -> tuple[Tensor, Tensor]:
        """Output (B, Q, 3) and loss, both detached.

        Args:
            inputs: (lq, coord, cell, gt).
            stage_sizes: As in the network's ``forward``.
        """
        if self.captured is not None:
            return self.captured(inputs, stage_sizes)
        self.net.zero_grad(set_to_none=True)
        outputs, losses = [], []
        share = 1 if getattr(self.criterion, "reduction", "mean") == "sum" else 1 / self.accumulate
        parts = list(zip(*(x.chunk(self.accumulate) for x in inputs), strict=True))
        no_sync = getattr(self.net, "no_sync", nullcontext)  # of DistributedDataParallel
        for number, part in enumerate(parts, start=1):
            # Processes exchange gradients once per step.
            with no_sync() if number < len(parts) else nullcontext():
                output, loss = self.forward(part, stage_sizes)
                loss = loss if self.accumulate == 1 else loss * share
                (loss if self.scaler is None else self.scaler.scale(loss)).backward()
            outputs.append(output.detach())
            losses.append(loss.detach())
        return torch.cat(outputs), torch.stack(losses).sum()

    def forward(self, inputs: Sequence[Tensor], stage_sizes: Sizes) -> tuple[Tensor, Tensor]:
        """Output and loss, with their autograd graph."""
        lq, coord, cell, gt = inputs
        autocast = torch.autocast(self.device.type, self.autocast, enabled=self.autocast is not None)
        with autocast, cast_together(self.net, None if self.distributed else self.autocast):
            output = self.net(lq, coord, cell, stage_sizes)
        return output, self.criterion(output.float(), gt)
