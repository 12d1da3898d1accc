"""What the fast paths need of a branch, and what they share."""

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor, nn

from clit_plugin.fast.axis import Axis
from clit_plugin.fast.map_tiles import MapTiles, PlainTiles, UpsampledTiles
from clit_plugin.ops.coordinates import Size, size_tensor
from clit_plugin.ops.local_ensemble import SHIFTS
from clit_plugin.ops.parts import Part


class Branch(Protocol):
    """The parameters of a branch, see ``clit_plugin.archs.lit_branch.Branch``."""

    local_grid: Size
    cell_decoding: bool
    local_ensemble: bool
    to_q: nn.Conv2d | None
    to_k: nn.Conv2d | None
    to_v: nn.Conv2d
    decoder: nn.Sequential


class Bias(Protocol):
    """A positional bias that is the sum of one of the rows and one of the columns, see ``PositionalBias``."""

    out_features: int

    def along(self, delta: Tensor, axis: int) -> Tensor:
        """The part of one axis, (...) -> (..., heads)."""
        ...


def make_tiles(
    branch: Branch, feature: Tensor, size: Size | None, *, keep_products: bool, part: Part | None = None
) -> MapTiles:
    """q, k and v of ``feature`` (B, C, h, w), a ``part`` of a map or all of it, at ``size`` or at its own size."""
    assert branch.to_q is not None and branch.to_k is not None  # there is attention
    convs = (branch.to_q, branch.to_k, branch.to_v)
    halo = (max(1, branch.local_grid[0] // 2), max(1, branch.local_grid[1] // 2))
    pixels = tile_pixels(feature)
    if size is None and keep_products:
        return PlainTiles(feature, convs, halo=halo)
    small, origin = ((feature.shape[-2], feature.shape[-1]), (0, 0)) if part is None else part[:2]
    if size is None:
        # An accelerator's library chooses among such algorithms itself, and bfloat16 is too coarse for this one.
        exact = feature.device.type == "cpu" and not torch.is_autocast_enabled("cpu") and feature.itemsize >= 4
        return PlainTiles(feature, convs, halo=halo, pixels=pixels, together=exact, whole=small, origin=origin)
    return UpsampledTiles(
        feature,
        convs,
        size=size,
        halo=halo,
        pixels=pixels,
        keep_products=keep_products,
        whole=small,
        origin=origin,
    )


def tile_pixels(feature: Tensor) -> int:
    """Pixels of a tile of q, k and v of one image: 64 MB on a CPU; on a GPU a 24th of its memory, at least 1 GB."""
    budget = 2**26 if feature.device.type == "cpu" else 2**30
    if feature.device.type == "cuda":
        budget = max(budget, torch.cuda.get_device_properties(feature.device).total_memory // 24)
    return budget // (3 * feature.shape[1] * feature.element_size())


def first_layer(branch: Branch) -> nn.Linear:
    """The decoder's first layer."""
    first: nn.Linear = branch.decoder[0]  # type: ignore[assignment]
    return first


def constant(branch: Branch, cell: Tensor, size: Size) -> Tensor:
    """What the first layer adds to every query of an image: its bias and, times its weights, the cell (B, F)."""
    first = first_layer(branch)
    if not branch.cell_decoding:
        return first.bias.unsqueeze(0)
    relative = (cell * size_tensor(size, cell)).to(first.weight.dtype)
    return relative @ first.weight[:, -2:].T + first.bias


def shifts(branch: Branch) -> Sequence[tuple[int, int]]:
    """Those of the local ensemble, if there is one."""
    return SHIFTS if branch.local_ensemble else ((0, 0),)


def central(axis: Axis) -> Tensor:
    """Position relative to the centre pixel itself."""
    return axis.delta[..., axis.delta.shape[-1] // 2]
