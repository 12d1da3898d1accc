"""How an image is cut into tiles, and how their outputs are blended."""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from clit_plugin.archs.arbitrary_scale_arch import ArbitraryScaleArch
from clit_plugin.inference.tiles import ALIGNMENT
from clit_plugin.ops.parts import Span

_MOST_MARGIN = 80  # LR pixels; the full-size EDSR has a reach of 66
_FURTHER = 48  # margin for encoders with a larger or unknown reach
_OVERLAP = 32  # width of the zone in which their tiles are blended


@dataclass(frozen=True, kw_only=True)
class Tiling:
    """Sides in LR pixels, multiples of 8.

    Attributes:
        tile: Width of the tiles.
        rows: Height of the tiles, and of a strip.
        margin: Width of the context around a tile.
        overlap: Width of the zone in which neighbouring tiles are blended; 0 if the margin covers everything that a
            tile's output depends on.
    """

    tile: int
    rows: int
    margin: int
    overlap: int


class Piece(NamedTuple):
    """A tile along one axis.

    seen: LR pixels that it is computed from, [start, stop).
    made: Output pixels that it contributes to, [start, stop).
    weights: Its blending weight at each of them, (pixels,).
    """

    seen: Span
    made: Span
    weights: Tensor


def margin_of(net: ArbitraryScaleArch) -> tuple[int, int]:
    """(margin, overlap) with which a network's tiles show no seams.

    An encoder's attribute ``reach``, if it has one, is the radius of its receptive field in pixels.
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
        span: LR pixels [start, stop) of the tile, without margin.
        margin: See ``Tiling``; at least ``overlap`` / 2 more than the reach of the network's head.
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
    """Cut an axis of ``n`` pixels into spans of ``side``; a rest of less than half a span joins the last one."""
    stops = [*range(side, n - side // 2, side), n]
    return list(zip([0, *stops[:-1]], stops, strict=True))


def _output_row(position: float, n: int, n_out: int) -> int:
    """The first output pixel whose centre is at an LR position or after it."""
    doubled = round(2 * position)  # positions are multiples of a half
    return -(-(doubled * n_out - n) // (2 * n)) if doubled > 0 else 0


def device_of(net: nn.Module) -> torch.device:
    """The device of a network's parameters."""
    return next(net.parameters()).device
