"""Local ensemble (LIIF, Fig. 2): blend the predictions of the four LR pixels around a query."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from clit_plugin.ops.coordinates import nearest_index, relative_coordinates, size_tensor
from clit_plugin.ops.sizes import Size

SHIFTS = ((-1, -1), (-1, 1), (1, -1), (1, 1))  # in half pixels of the map
EDGE = 1e-6  # LIIF's epsilon for shifting and clamping, in units of half an image
TINY_AREA = 1e-9  # LIIF's epsilon, which keeps the sum of the areas positive


class Neighbour(NamedTuple):
    """An LR pixel per query: its row and column (B, Q, 2), and the query's position relative to it (B, Q, 2)."""

    pixel: Tensor
    delta: Tensor


def ensemble_neighbours(coord: Tensor, size: Size) -> list[Neighbour]:
    """The pixels nearest to the four positions half an LR pixel from the query, clamped to the image.

    Args:
        coord: (B, Q, 2) in [-1, 1].
        size: (H, W) of the map.

    Returns:
        One per shift of ``SHIFTS``; delta is in half LR pixels, so that an LR pixel is 2 wide.
    """
    extent = size_tensor(size, coord)
    shifted = [
        (coord + size_tensor(shift, coord) / extent + EDGE).clamp(-1 + EDGE, 1 - EDGE)  # by half an LR pixel
        for shift in SHIFTS
    ]
    return [_neighbour(coord, nearest_index(position, size), size) for position in shifted]


def nearest_neighbour(coord: Tensor, size: Size) -> Neighbour:
    """The pixel nearest to the query; arguments and units as in ``ensemble_neighbours``."""
    return _neighbour(coord, nearest_index(coord, size), size)


def ensemble_areas(neighbours: Sequence[Neighbour]) -> list[Tensor]:
    """Area of the rectangle between each neighbour and the query, (B, Q, 1)."""
    return [neighbour.delta.prod(-1, keepdim=True).abs() for neighbour in neighbours]


def blend(predictions: Sequence[Tensor], areas: Sequence[Tensor]) -> Tensor:
    """Weight each prediction (..., 3) by the area (..., 1) at the opposite corner; a single one is returned as is."""
    if len(predictions) == 1:
        return predictions[0]
    areas = [area + TINY_AREA for area in areas]
    total = torch.stack(list(areas)).sum(0)
    return torch.stack([p * a / total for p, a in zip(predictions, reversed(areas), strict=True)]).sum(0)


def _neighbour(coord: Tensor, index: Tensor, size: Size) -> Neighbour:
    none = torch.zeros(1, 2, dtype=torch.long, device=coord.device)
    return Neighbour(index, relative_coordinates(coord, index, none, size).squeeze(-2))
