"""Geometry of one image axis: everything that local attention needs is separable into rows and columns."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from clit_plugin.ops.coordinates import centres_at
from clit_plugin.ops.local_ensemble import EDGE


@dataclass(frozen=True)
class Axis:
    """Positions along one axis, seen from the pixels of a map.

    index: (...), int64, the centre pixel of each position's local grid.
    delta: (..., G), position relative to the G grid points, in half pixels of the map (eq. 2).
    hat: (..., 3), weights of the pixels index - 1, index, index + 1 in bilinear sampling at the position; zeros lie
        outside the map, so that a weight on a missing pixel multiplies zero.
    """

    index: Tensor
    delta: Tensor
    hat: Tensor


class BiasedAxis(NamedTuple):
    """Rows or columns of some queries: their geometry, and their part of the positional bias, (..., G, heads)."""

    geometry: Axis
    bias: Tensor


def make_axis(coord: Tensor, n: int, grid: int, shift: int = 0) -> Axis:
    """Describe positions along an axis of ``n`` map pixels.

    The operations and their order are those of ``nearest_index`` and ``relative_coordinates``: the positional
    encoding magnifies their rounding.

    Args:
        coord: (...) in [-1, 1].
        n: Pixels of the map along the axis.
        grid: G, odd.
        shift: -1 or 1: the local grid lies about the pixel nearest to a position half a pixel further (LIIF's local
            ensemble).
    """
    pixel = float(np.float32(2.0) / np.float32(n)) if coord.dtype == torch.float32 else 2.0 / n  # its width
    position = map_position(coord, n)
    shifted = position
    if shift:
        shifted = map_position((coord + shift * pixel / 2 + EDGE).clamp(-1 + EDGE, 1 - EDGE), n)
    index = torch.round(shifted).clamp(0, n - 1)
    offsets = torch.arange(-(grid // 2), grid // 2 + 1, device=coord.device, dtype=coord.dtype) * pixel
    points = centres_at(index, n).unsqueeze(-1) + offsets
    delta = (coord.unsqueeze(-1) - points) * float(n)
    return Axis(index.long(), delta, hat_weights(position, index.unsqueeze(-1) + _neighbours(coord)))


def map_position(coord: Tensor, n: int) -> Tensor:
    """Coordinates in [-1, 1] as positions in pixels of an axis of ``n``.

    The bits are those of ``nearest_index``, and of ``grid_sample``, which computes ((coord + 1) n - 1) / 2.
    """
    return (coord + 1.0) * (n / 2.0) - 0.5


def hat_weights(position: Tensor, index: Tensor) -> Tensor:
    """Bilinear weights max(0, 1 - |position - index|): (...) and (..., K) -> (..., K)."""
    return (1.0 - (position.unsqueeze(-1) - index).abs()).clamp_min(0.0)


def _neighbours(like: Tensor) -> Tensor:
    return torch.arange(-1, 2, device=like.device, dtype=like.dtype)
