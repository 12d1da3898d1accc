"""A case of ``clit benchmark`` on either path, how far the two differ, and the work that the floor counts."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from clit_plugin.archs.clit_arch import CLIT
from clit_plugin.commands.benchmark_cases import Case
from clit_plugin.ops.coordinates import make_cell, make_coord


class TimedCase:
    """A case on one path, which can be run repeatedly.

    Args:
        case: The case.
        reference: Whether to use the reference path.
        device: The device.
        network: Arguments of CLIT that override the paper's.
    """

    def __init__(self, case: Case, *, reference: bool, device: torch.device, network: dict[str, Any]) -> None:
        torch.manual_seed(0)
        options = {"encoder": {"type": "EDSRBaseline"}, **network}
        self.case = case
        self.net = CLIT(**options, num_branches=len(case.factors), reference=reference).to(device)
        self.net.train(bool(case.batch))
        generator = torch.Generator().manual_seed(0)
        size, n = case.out_size, case.lq_size
        self.lq = torch.rand(case.batch or 1, 3, n, n, generator=generator).to(device)
        if case.batch:
            pixels = torch.stack([torch.randperm(size[0] * size[1], generator=generator)[: n * n] for _ in self.lq])
            self.coord = make_coord(size)[pixels].to(device)
            self.cell = make_cell(size).expand(case.batch, -1).to(device)
            self.gt = torch.rand(case.batch, n * n, 3, generator=generator).to(device)

    def __call__(self) -> Tensor | list[Tensor]:
        """The image, or the gradients of one training step."""
        if not self.case.batch:
            return self.net.upscale(self.lq, self.case.out_size, self.case.stage_sizes)
        self.net.zero_grad(set_to_none=True)
        output = self.net(self.lq, self.coord, self.cell, self.case.stage_sizes)
        nn.functional.l1_loss(output, self.gt).backward()
        # The gradient of FC's bias is zero, as softmax ignores a constant; only rounding is left, on both paths.
        return [p.grad for name, p in self.net.named_parameters() if p.grad is not None and name != "pos_bias.bias"]


def difference(fast: Tensor | Sequence[Tensor], reference: Tensor | Sequence[Tensor]) -> float:
    """Largest difference of two images, or of gradients, there relative to each gradient's largest value."""
    if isinstance(fast, Tensor) and isinstance(reference, Tensor):
        return float((fast - reference).abs().max())
    return max(float((a - b).abs().max() / b.abs().max()) for a, b in zip(fast, reference, strict=True))


def factorised_macs(run: TimedCase) -> float:
    """Multiply-adds of a whole image, factorised: what the floor counts.

    Per pixel of each branch's map the table T; per LR pixel the encoder and the convolutions, q, k and v of every
    branch; per query and branch attention times T, and the rest of the decoder.
    """
    net, case = run.net, run.case
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        net.conv_feat(net.encoder(run.lq))
    linears = [layer for layer in net.branches[0].modules() if isinstance(layer, nn.Linear)]  # of the decoder
    grid, dim, width = net.local_grid[0] * net.local_grid[1], net.conv_feat.out_channels, linears[0].out_features
    assert net.pos_bias is not None  # the paper's network
    maps = [(case.lq_size,) * 2, *case.stage_sizes]
    pixels = sum(h * w for h, w in maps)
    queries = case.out_size[0] * case.out_size[1] * len(maps)
    rest = sum(layer.in_features * layer.out_features for layer in linears[1:])
    return (
        counter.get_total_flops() / 2
        + len(maps) * case.lq_size**2 * 27 * dim * dim
        + pixels * grid * dim * width
        + queries * (grid * net.pos_bias.out_features * width + rest)
    )
