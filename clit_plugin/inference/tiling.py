"""How an image is cut into tiles, and how their outputs are put together again."""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from clit_plugin.archs.arbitrary_scale_arch import ArbitraryScaleArch
from clit_plugin.inference.tiles import ALIGNMENT
from clit_plugin.ops.parts import Span

_MOST_MARGIN = 80  # LR pixels; EDSR of the paper's size sees 66
_FURTHER = 48  # the margin where an encoder sees further than that, or does not say how far
_OVERLAP = 32  # over which tiles are blended then


@dataclass(frozen=True, kw_only=True)
class Tiling:
    """Sides in LR pixels, multiples of 8.

    Attributes:
        tile: Width of the tiles.
        rows: Their height, which is that of a strip.
        margin: What a tile sees around itself.
        overlap: How wide the zone is in which neighbours are blended; 0 where the margin shows a tile all that its
            output depends on.
    """

    tile: int
    rows: int
    margin: int
    overlap: int


class Piece(NamedTuple):
    """A tile along one axis.

    seen: LR pixels that it is computed from, [start, stop).
    made: Pixels of the output that it contributes to.
    weights: How much to each of them, (pixels,).
    """

    seen: Span
    made: Span
    weights: Tensor


def margin_of(net: ArbitraryScaleArch) -> tuple[int, int]:
    """(margin, overlap) by which tiles of a network show no seams.

    An encoder with an attribute ``reach`` says how many pixels, in each direction, its features depend on.
    """
    reach = getattr(net.encoder, "reach", None)
    head = net.head_reach or 0
    if isinstance(reach, int) and reach + head <= _MOST_MARGIN:
        return -(-(reach + head) // ALIGNMENT) * ALIGNMENT, 0
    return _FURTHER, _OVERLAP


def piece(n: int, n_out: int, span: Span, *, margin: int, overlap: int) -> Piece:
    """A tile along an axis of ``n`` LR pixels and ``n_out`` of the output.

    The weights of all tiles of an axis add up to 1: they fall from 1 to 0 over the ``overlap`` about a border between
    two of them.

    Args:
        n: LR pixels of the axis.
        n_out: Pixels of the output.
        span: LR pixels [start, stop) that the tile stands for.
        margin: See ``Tiling``; at least ``overlap`` / 2 more than what the network's head reaches.
        overlap: See ``Tiling``; less than the span.
    """
    start, stop = span
    first = 0 if start == 0 else start - overlap / 2
    last = n if stop == n else stop + overlap / 2
    made = _output_row(first, n, n_out), _output_row(last, n, n_out)
    position = (torch.arange(*made, dtype=torch.float64) + 0.5) * (n / n_out)
    weights = torch.ones_like(position)
    if overlap and start > 0:
        weights *= ((position - first) / overlap).clamp(0, 1)
    if overlap and stop < n:
        weights *= ((last - position) / overlap).clamp(0, 1)
    return Piece((max(0, start - margin), min(n, stop + margin)), made, weights.float())


def cut(n: int, side: int) -> list[Span]:
    """An axis of ``n`` pixels in spans of ``side``; what would be less than half a span is left to the one before."""
    stops = [*range(side, n - side // 2, side), n]
    return list(zip([0, *stops[:-1]], stops, strict=True))


def _output_row(position: float, n: int, n_out: int) -> int:
    """The first output pixel whose centre lies at an LR position or behind it."""
    doubled = round(2 * position)  # positions are multiples of a half
    return -(-(doubled * n_out - n) // (2 * n)) if doubled > 0 else 0


def device_of(net: nn.Module) -> torch.device:
    """Where a network is."""
    return next(net.parameters()).device
