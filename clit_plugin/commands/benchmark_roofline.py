"""``clit benchmark --roofline``: kernels, bytes and FLOPs of each case on a GPU, counted without one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from clit_plugin.archs.build import build_network
from clit_plugin.fast.fused_choice import counted_kernels
from clit_plugin.fast.fused_costs import CostedKernels
from clit_plugin.fast.kernel_costs import DEVICE, KernelCosts, count_costs
from clit_plugin.fast.meta_functions import HostWaitError
from clit_plugin.models.cast_together import cast_together
from clit_plugin.ops.sizes import Size
from clit_plugin.ops.stages import cascade_sizes


@dataclass(frozen=True)
class Card:
    """A GPU's figures as its maker gives them: bytes/s of memory, FLOP/s of dense products in two precisions."""

    name: str
    bandwidth: float
    float32: float
    bfloat16: float


CARDS = {
    "a100": Card("A100 80 GB", 2.04e12, 19.5e12, 312e12),
    "h100": Card("H100 SXM", 3.35e12, 67e12, 989e12),
}
LAUNCH = 6e-6  # seconds that PyTorch takes to launch a kernel


_EDSR: dict[str, Any] = {"type": "EDSRBaseline"}
_NETWORKS: dict[str, dict[str, Any]] = {
    "CLIT": {"type": "CLIT", "encoder": _EDSR},
    "small CLIT": {
        "type": "CLIT",
        "encoder": {**_EDSR, "num_feat": 32, "num_block": 4},
        "dim": 32,
        "num_heads": 4,
        "decoder_hidden": [64, 64],
    },
    "LIIF": {"type": "LIIF", "encoder": _EDSR},
    "LTE": {"type": "LTE", "encoder": _EDSR},
    "MetaSR": {"type": "MetaSR", "encoder": _EDSR},
}


@dataclass(frozen=True)
class RooflineCase:
    """A training step, or a whole image.

    Args:
        name: Of the line.
        network: One of those that are counted.
        lq_size: (h, w) of the LR image.
        factors: Scale of each branch.
        batch: Images of a training step with h * w queries each; 0 for a whole image.
    """

    name: str
    network: str
    lq_size: Size
    factors: tuple[float, ...]
    batch: int = 0


CASES = (
    RooflineCase("stage 1, x4", "CLIT", (48, 48), (4,), 32),
    RooflineCase("stage 2, x3 x2", "CLIT", (48, 48), (3, 2), 32),
    RooflineCase("stage 3, x3 x3 x1.5", "CLIT", (48, 48), (3, 3, 1.5), 32),
    RooflineCase("stage 1, x4", "small CLIT", (48, 48), (4,), 32),
    RooflineCase("x4", "LIIF", (48, 48), (4,), 32),
    RooflineCase("x4", "LTE", (48, 48), (4,), 32),
    *(
        RooflineCase(f"{4 * w}x{4 * h} from {w}x{h}", network, (h, w), (4,))
        for network in _NETWORKS
        for h, w in ((128, 128), (339, 510))
    ),
)


def costs_of(case: RooflineCase, autocast: torch.dtype | None) -> KernelCosts:
    """Count a case: a step's forward and backward pass with its loss, or an image.

    Raises:
        HostWaitError: The host would wait in it.
    """
    net: Any = build_network({**_NETWORKS[case.network], **_branches(case)}).to(DEVICE)
    (h, w), batch = case.lq_size, case.batch or 1
    *stages, size = cascade_sizes(case.lq_size, case.factors)
    lq = torch.empty(batch, 3, h, w, device=DEVICE)
    with count_costs(autocast) as costs, counted_kernels(CostedKernels(costs)):
        if not case.batch:
            net.eval().upscale(lq, size, stages)
            return costs
        net.train()
        coord, gt = (torch.empty(batch, h * w, n, device=DEVICE) for n in (2, 3))
        with cast_together(net, autocast):
            output = net(lq, coord, torch.empty(batch, 2, device=DEVICE), stages)
        nn.functional.l1_loss(output.float(), gt).backward()
    return costs


def _branches(case: RooflineCase) -> dict[str, int]:
    return {"num_branches": len(case.factors)} if len(case.factors) > 1 else {}


def row_of(case: RooflineCase, card: Card, autocast: torch.dtype | None) -> dict[str, Any]:
    """A case's figures: bytes, seconds and pixels per second; ``waits`` alone where the host would wait."""
    row: dict[str, Any] = {"case": case.name, "network": case.network, "batch": case.batch}
    try:
        costs = costs_of(case, autocast)
    except HostWaitError as wait:
        return {**row, "waits": str(wait)}
    total = costs.total
    rate = card.float32 if autocast is None else card.bfloat16
    work, launches = costs.seconds(bandwidth=card.bandwidth, rate=rate, launch=LAUNCH)
    (height, width), (h, w) = cascade_sizes(case.lq_size, case.factors)[-1], case.lq_size
    pixels = case.batch * h * w if case.batch else height * width
    return {
        **row,
        "kernels": total.calls,
        "bytes": total.bytes,
        "asked": total.requested,
        "flops": total.flops,
        "waits": None,
        "work": work,
        "launches": launches,
        "pixels_per_second": pixels / max(work, launches),
        "lines": {
            name: {"calls": kernel.calls, "bytes": kernel.bytes, "flops": kernel.flops, "asked": kernel.requested}
            for name, kernel in costs.kernels.items()
        },
    }


def roofline_table(rows: Sequence[Mapping[str, Any]], card: Card, autocast: torch.dtype | None) -> str:
    """Markdown."""
    dtype = "float32" if autocast is None else "bfloat16"
    rate = card.float32 if autocast is None else card.bfloat16
    lines = [
        f"Counted, not measured; {card.name}: {card.bandwidth / 1e12:.2f} TB/s, {rate / 1e12:.0f} TFLOP/s in {dtype}, "
        f"{LAUNCH * 1e6:.0f} us a launch",
        "",
        "| network | case | batch | kernels | GB | asked of caches, GB | TFLOP | waits | work, ms | launches, ms "
        "| Mpixel/s |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        head = f"| {row['network']} | {row['case']} | {row['batch'] or '-'}"
        if row["waits"] is not None:
            lines.append(f"{head} | - | - | - | - | waits: {row['waits']} | - | - | - |")
            continue
        lines.append(
            f"{head} | {row['kernels']} | {row['bytes'] / 1e9:.1f} | {row['asked'] / 1e9:.1f} "
            f"| {row['flops'] / 1e12:.2f} | 0 | {row['work'] * 1e3:.1f} | {row['launches'] * 1e3:.1f} "
            f"| {row['pixels_per_second'] / 1e6:.1f} |"
        )
    return "\n".join(lines) + "\n"


def lines_table(row: Mapping[str, Any], max_lines: int = 12) -> str:
    """The kernels of a case that move most bytes, as Markdown."""
    lines = [f"\n{row['network']}, {row['case']}:\n", "| kernel | launches | GB | asked of caches, GB | TFLOP |"]
    lines.append("|---|---|---|---|---|")
    kernels = sorted(row.get("lines", {}).items(), key=lambda item: -item[1]["bytes"])
    for name, line in kernels[:max_lines]:
        lines.append(
            f"| {name} | {line['calls']} | {line['bytes'] / 1e9:.2f} | {line['asked'] / 1e9:.2f} "
            f"| {line['flops'] / 1e12:.3f} |"
        )
    return "\n".join(lines) + "\n"
