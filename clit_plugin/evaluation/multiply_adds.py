"""The cost of a network as papers count it: parameters, and multiply-adds for an output of 1280 x 720 pixels."""

import inspect
from collections.abc import Mapping
from typing import Any

import torch
from basicsr.utils.registry import ARCH_REGISTRY
from torch.utils.flop_counter import FlopCounterMode

from clit_plugin.archs.build import build_network
from clit_plugin.ops.sizes import scaled_size
from clit_plugin.ops.stages import greedy_stage_sizes

OUTPUT = (720, 1280)  # (H, W)
_QUERIES = (64, 128)
_LQ = (64, 64)  # (h, w) that is counted; the cost per image grows with its area


def count_parameters(network: Mapping[str, Any]) -> int:
    """The number of parameters of a network."""
    return sum(parameter.numel() for parameter in build_network(network).parameters())


def count_multiply_adds(network: Mapping[str, Any], scale: tuple[float, float]) -> float | None:
    """Multiply-adds of the plain equations, matrix products and convolutions only, from LR to ``OUTPUT``.

    Nothing is computed: on torch's meta device a forward pass is counted with a few queries and with twice as many,
    which gives the cost per query and per LR pixel. The fast paths need fewer.

    Args:
        network: Checked options.
        scale: (y, x).

    Returns:
        The number, or None for a user's network that does not run on the meta device.
    """
    options = dict(network)
    if "reference" in inspect.signature(ARCH_REGISTRY.get(network["type"])).parameters:
        options["reference"] = True
    out = scaled_size(_LQ, scale)
    try:
        net: Any = build_network(options).eval().to("meta")
        stages = greedy_stage_sizes(_LQ, out, getattr(net, "num_branches", 1))
        one, two = (_count(net, queries, stages) for queries in _QUERIES)
    except Exception:  # noqa: BLE001, foreign code may raise anything on tensors without data
        return None
    per_query = (two - one) / (_QUERIES[1] - _QUERIES[0])
    per_lr_pixel = (one - per_query * _QUERIES[0]) / (_LQ[0] * _LQ[1])
    pixels = OUTPUT[0] * OUTPUT[1]
    return per_query * pixels + per_lr_pixel * pixels / (scale[0] * scale[1])


def _count(net: Any, queries: int, stages: list[tuple[int, int]]) -> float:
    lq = torch.empty(1, 3, *_LQ, device="meta")
    coord = torch.empty(1, queries, 2, device="meta")
    cell = torch.empty(1, 2, device="meta")
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        net(lq, coord, cell, stages)
    return counter.get_total_flops() / 2
