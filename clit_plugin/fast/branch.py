"""What the fast paths need of a branch, and what they share."""

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor, nn

from clit_plugin.fast.axis import Axis, BiasedAxis, make_axis
from clit_plugin.fast.device_memory import total_memory
from clit_plugin.fast.map_tiles import NativeTiles, UpsampledTiles, WholeTiles
from clit_plugin.fast.tile_tables import MapTiles
from clit_plugin.ops.coordinates import Size, size_tensor
from clit_plugin.ops.local_ensemble import SHIFTS
from clit_plugin.ops.parts import Part


class Decoder(Protocol):
    """A branch's MLP, see ``clit_plugin.archs.decoder.Decoder``."""

    @property
    def first(self) -> nn.Linear:
        """The first layer."""
        ...

    @property
    def rest(self) -> nn.Sequential:
        """The other layers, with the activation before them."""
        ...


class Branch(Protocol):
    """The parameters of a branch, see ``clit_plugin.archs.lit_branch.Branch``."""

    local_grid: Size
    cell_decoding: bool
    local_ensemble: bool
    to_q: nn.Conv2d | None
    to_k: nn.Conv2d | None
    to_v: nn.Conv2d

    @property
    def decoder(self) -> Decoder:
        """The MLP."""
        ...


class Bias(Protocol):
    """A positional bias that is the sum of one of the rows and one of the columns, see ``PositionalBias``."""

    in_features: int
    out_features: int

    def parts(self, rows: Tensor, columns: Tensor) -> tuple[Tensor, Tensor]:
        """Of relative coordinates (...) of rows and columns, (..., heads) each."""
        ...


def make_tiles(
    branch: Branch,
    feature: Tensor,
    size: Size | None,
    *,
    keep_products: bool,
    part: Part | None = None,
    window: Size | None = None,
) -> MapTiles:
    """q, k and v of ``feature`` (B, C, h, w), a ``part`` of a map or all of it, at ``size`` or at its own size.

    Windows have at most the rows and columns of ``window``, if that is given.
    """
    assert branch.to_q is not None and branch.to_k is not None  # there is attention
    convs = (branch.to_q, branch.to_k, branch.to_v)
    halo = (max(1, branch.local_grid[0] // 2), max(1, branch.local_grid[1] // 2))
    pixels = tile_pixels(feature)
    if size is None and keep_products:
        return WholeTiles(NativeTiles(feature, convs, halo=halo))
    small, origin = ((feature.shape[-2], feature.shape[-1]), (0, 0)) if part is None else part[:2]
    if size is None:
        # An accelerator's library chooses among such algorithms itself, and bfloat16 is too coarse for this one.
        exact = feature.device.type == "cpu" and not torch.is_autocast_enabled("cpu") and feature.itemsize >= 4
        return NativeTiles(
            feature, convs, halo=halo, pixels=pixels, max_window=window, together=exact, whole=small, origin=origin
        )
    tiles = UpsampledTiles(
        feature,
        convs,
        size=size,
        halo=halo,
        pixels=pixels,
        max_window=window,
        keep_products=keep_products,
        whole=small,
        origin=origin,
    )
    return WholeTiles(tiles) if keep_products and len(tiles.windows()) == 1 else tiles


def tile_pixels(feature: Tensor) -> int:
    """Pixels of a tile of q, k and v: 64 MB on a CPU; on an accelerator a 24th of its memory, at least 1 GB."""
    budget = 2**26 if feature.device.type == "cpu" else max(2**30, total_memory(feature.device) // 24)
    return budget // (3 * feature.shape[1] * feature.element_size())


def biased_axes(
    branch: Branch, size: Size, coords: tuple[Tensor, Tensor], pos_bias: Bias, shift: tuple[int, int] = (0, 0)
) -> tuple[BiasedAxis, BiasedAxis]:
    """Rows and columns of some queries.

    Args:
        branch: Its parameters.
        size: (H, W) of the map on which the local grids lie.
        coords: y (...) and x (...) in [-1, 1]; on another device than the parameters the geometry is computed there.
        pos_bias: The network's positional bias.
        shift: See ``make_axis``.
    """
    rows, columns = (make_axis(coords[i], size[i], branch.local_grid[i], shift[i]) for i in (0, 1))
    device = branch.to_v.weight.device
    row_bias, column_bias = pos_bias.parts(rows.delta.to(device), columns.delta.to(device))
    return BiasedAxis(rows, row_bias), BiasedAxis(columns, column_bias)


def pixel_weight(branch: Branch, channels: int) -> Tensor:
    """W1 without its columns for the cell: (F, N * C)."""
    return branch.decoder.first.weight[:, : branch.local_grid[0] * branch.local_grid[1] * channels]


def constant(branch: Branch, cell: Tensor, size: Size) -> Tensor:
    """The part of the first layer that all queries of an image share: its bias and the cell's product, (B, F)."""
    first = branch.decoder.first
    if not branch.cell_decoding:
        return first.bias.unsqueeze(0)
    relative = (cell * size_tensor(size, cell)).to(first.weight.dtype)
    return relative @ first.weight[:, -2:].T + first.bias


def shifts(branch: Branch) -> Sequence[tuple[int, int]]:
    """Shifts of the local grid: four with a local ensemble, else none."""
    return SHIFTS if branch.local_ensemble else ((0, 0),)


def central(axis: Axis) -> Tensor:
    """Position relative to the centre pixel itself."""
    return axis.delta[..., axis.delta.shape[-1] // 2]
