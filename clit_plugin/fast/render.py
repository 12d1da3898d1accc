"""A whole output grid, without gradients: what upscaling and validation need."""

import math
from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor

from clit_plugin.fast.axis import Axis, make_axis
from clit_plugin.fast.branch import Bias, Branch, biased_axes, central, constant, make_tiles, pixel_weight, shifts
from clit_plugin.fast.fused_grid_choice import fused_grid
from clit_plugin.fast.grid_attention import attend_grid
from clit_plugin.fast.grid_decoder import Head
from clit_plugin.fast.planar_attention import attend_planar
from clit_plugin.fast.workers import worker_count
from clit_plugin.ops.coordinates import Size, pixel_centres, size_tensor
from clit_plugin.ops.local_attention import resize_bilinear
from clit_plugin.ops.local_ensemble import blend
from clit_plugin.ops.parts import Part, whole

_MAX_NEAREST = 2**18  # pixels without attention that are decoded at a time, at most
# Of small networks.
_MAX_PRODUCTS = 2**16  # of the first layer per query
_FEW_QUERIES = 5  # of a pixel of the map, up to which the first layer is multiplied query by query; then
_WINDOW = 32768  # queries of a window, about, and
_WIDE = 512  # columns of the output in it
_SIDE = 96  # of a window on a resized map elsewhere


def render(
    branch: Branch,
    feature: Tensor,
    size: Size | None,
    out_size: Size,
    pos_bias: Bias | None,
    max_queries: int | None,
    progress: Callable[[float], object] | None = None,
    part: Part | None = None,
) -> Tensor:
    """Residual image (H_out, W_out, 3) of one image, or (rows, columns, 3) of a part of it; without gradients.

    Args:
        branch: Its parameters.
        feature: (1, C, h, w).
        size: The grid to which the feature is resized first; None for its own.
        out_size: (H_out, W_out).
        pos_bias: The network's positional bias; None where there is no attention.
        max_queries: How many queries are decoded at a time, at most; None: what is fast on the device.
        progress: As in ``ArbitraryScaleArch.upscale``.
        part: What of the feature is given and of the output wanted, as in ``ArbitraryScaleArch.upscale_part``; without
            attention all of both.
    """
    part = part or whole((feature.shape[-2], feature.shape[-1]), out_size)
    max_queries = _queries_of_a_thread(max_queries, feature.device)
    dtype = torch.promote_types(feature.dtype, torch.float32)
    # Geometry is computed on the host: what is evaluated together is decided by it, without waiting for a GPU.
    coords = tuple(pixel_centres(n, dtype=dtype) for n in out_size)
    cell = torch.stack([2.0 / size_tensor(out_size, feature.new_empty(0, dtype=dtype))])
    if pos_bias is None:
        resized = feature if size is None else resize_bilinear(feature, size)
        return _render_nearest(branch, resized, coords, cell, min(max_queries, _MAX_NEAREST))
    map_size = size or part.lq_size
    head = Head(
        first=pixel_weight(branch, feature.shape[1]),
        bias=constant(branch, cell, map_size)[0],
        rest=branch.decoder.rest,
        num_heads=pos_bias.out_features,
    )
    planar = _planar_pays(head.first, feature, map_size, out_size)
    window = _planar_window(map_size, out_size, part, feature.device) if planar else _window(head.first, size)
    tiles = make_tiles(branch, feature, size, keep_products=False, part=part, window=window)
    fused = None if planar else fused_grid(feature, head, branch.local_grid, part.shape[0] * part.shape[1])
    attend = attend_planar if planar else partial(attend_grid, fused=fused)
    ensemble = shifts(branch)
    done = None if progress is None else lambda pixels: progress(pixels / len(ensemble))
    part_coords = (coords[0][slice(*part.rows)], coords[1][slice(*part.columns)])
    predictions, areas = [], []
    for shift in ensemble:
        axes = biased_axes(branch, tiles.size, part_coords, pos_bias, shift)
        predictions.append(attend(tiles, axes, head, max_queries, done))
        areas.append(_areas(*(axis.geometry for axis in axes)).to(feature.device))
    return blend(predictions, areas)


def _planar_pays(first: Tensor, feature: Tensor, size: Size, out_size: Size) -> bool:
    """Whether ``attend_planar`` is faster than ``attend_grid``: a small first layer, (F, N * C), and few queries."""
    plain = feature.device.type == "cpu" and not torch.is_autocast_enabled("cpu") and feature.itemsize >= 4
    few = out_size[0] * out_size[1] <= _FEW_QUERIES * size[0] * size[1]
    return plain and few and first.numel() <= _MAX_PRODUCTS


def _window(first: Tensor, size: Size | None) -> Size | None:
    """A window of a resized map for ``attend_grid``; see ``interpolate_taps``: its products grow with its sides.

    A large network keeps large ones: what counts there is that strips are long.
    """
    return None if size is None or first.device.type != "cpu" or first.numel() > _MAX_PRODUCTS else (_SIDE, _SIDE)


def _planar_window(size: Size, out_size: Size, part: Part, device: torch.device) -> Size:
    """Rows and columns of a window of ``attend_planar`` on a map of ``size``: several windows for each thread."""
    rows, columns = part.shape
    workers = worker_count(device)
    wide = min(_WIDE, columns)
    tall = min(_WINDOW, rows * columns / (1 if workers == 1 else 4 * workers)) / wide
    return math.ceil(tall * size[0] / out_size[0]), math.ceil(wide * size[1] / out_size[1])


def _queries_of_a_thread(max_queries: int | None, device: torch.device) -> int:
    fast = 4096 if device.type == "cpu" else 2**22  # or as many as memory has room for, see ``attend_grid``
    return fast if max_queries is None else min(fast, max(1, max_queries // worker_count(device)))


def _areas(rows: Axis, columns: Axis) -> Tensor:
    """Area between each output pixel and the pixel of the map that is its centre, (H_out, W_out, 1)."""
    return (central(rows).unsqueeze(-1) * central(columns)).abs().unsqueeze(-1)


def _render_nearest(
    branch: Branch, feature: Tensor, coords: Sequence[Tensor], cell: Tensor, max_queries: int
) -> Tensor:
    """Without attention all queries of a pixel are decoded to the same colour: decode each pixel once."""
    size = (feature.shape[-2], feature.shape[-1])
    pixels = branch.to_v(feature).squeeze(0).flatten(1).T  # h * w, C
    weight, rest = pixel_weight(branch, feature.shape[1]), branch.decoder.rest
    added = constant(branch, cell, size)
    rgb = torch.cat([rest(part @ weight.T + added) for part in pixels.split(max_queries)]).view(*size, 3)
    predictions, areas = [], []
    for shift in shifts(branch):
        axes = [make_axis(coords[i], size[i], 1, shift[i]) for i in (0, 1)]
        rows, columns = (axis.index.to(rgb.device) for axis in axes)
        predictions.append(rgb[rows][:, columns])
        areas.append(_areas(*axes).to(rgb.device))
    return blend(predictions, areas)
