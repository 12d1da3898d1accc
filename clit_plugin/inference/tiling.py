"""How an image is split into tiles, and how their outputs are blended."""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from clit_plugin.archs.arbitrary_scale_arch import ArbitraryScaleArch
from clit_plugin.inference.tiles import ALIGNMENT
from clit_plugin.ops.parts import Span

_MAX_MARGIN = 80  # LR pixels; the full-size EDSR has a reach of 66
_FALLBACK_MARGIN = 48  # for encoders with a larger or unknown reach
_FALLBACK_OVERLAP = 32  # width of the zone in which their tiles are blended


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


class AxisTile(NamedTuple):
    """A tile along one axis.

    lr_span: LR pixels [start, stop) that it is computed from, margin included.
    out_span: Output pixels [start, stop) that it contributes to.
    weights: Its blending weight at each of them, (pixels,).
    """

    lr_span: Span
    out_span: Span
    weights: Tensor


def margin_of(net: ArbitraryScaleArch) -> tuple[int, int]:
    """(margin, overlap) for which a network's tiles show no seams.

    The attribute ``reach`` of an encoder, if present, is the radius of its receptive field in pixels.
    """
    reach = getattr(net.encoder, "reach", None)
    head = net.head_reach or 0
    if isinstance(reach, int) and reach + head <= _MAX_MARGIN:
        return -(-(reach + head) // ALIGNMENT) * ALIGNMENT, 0
    return _FALLBACK_MARGIN, _FALLBACK_OVERLAP


def axis_tile(n: int, n_out: int, span: Span, *, margin: int, overlap: int) -> AxisTile:
    """A tile along an axis of ``n`` LR pixels and ``n_out`` output pixels.

    The weights of all tiles of an axis add up to 1: around the border between two tiles, they fall linearly from 1 to 0
    over ``overlap`` pixels.

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
    out_span = _output_index(first, n, n_out), _output_index(last, n, n_out)
    position = (torch.arange(*out_span, dtype=torch.float64) + 0.5) * (n / n_out)
    weights = torch.ones_like(position)
    if overlap and start > 0:
        weights *= ((position - first) / overlap).clamp(0, 1)
    if overlap and stop < n:
        weights *= ((last - position) / overlap).clamp(0, 1)
    return AxisTile((max(0, start - margin), min(n, stop + margin)), out_span, weights.float())


def split_axis(n: int, side: int) -> list[Span]:
    """Split an axis of ``n`` pixels into spans of ``side``; a remainder of less than half a span joins the last one."""
    stops = [*range(side, n - side // 2, side), n]
    return list(zip([0, *stops[:-1]], stops, strict=True))


def _output_index(position: float, n: int, n_out: int) -> int:
    """The first output pixel whose centre is at or after a position in LR pixels."""
    doubled = round(2 * position)  # positions are multiples of a half
    return -(-(doubled * n_out - n) // (2 * n)) if doubled > 0 else 0


def device_of(net: nn.Module) -> torch.device:
    """The device of a network's parameters."""
    return next(net.parameters()).device
