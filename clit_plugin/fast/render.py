"""A whole output grid, without gradients: what upscaling and validation need."""

from collections.abc import Callable

import torch
from torch import Tensor

from clit_plugin.fast.axis import Axis, make_axis
from clit_plugin.fast.branch import Bias, Branch, central, constant, first_layer, make_tiles, shifts
from clit_plugin.fast.grid_attention import DenseAxis, Head, attend_grid
from clit_plugin.ops.coordinates import Size, pixel_centres, size_tensor
from clit_plugin.ops.local_attention import resize_bilinear
from clit_plugin.ops.local_ensemble import blend
from clit_plugin.ops.parts import Part, Span, whole


def render(
    branch: Branch,
    feature: Tensor,
    size: Size | None,
    out_size: Size,
    pos_bias: Bias | None,
    max_queries: int,
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
        max_queries: How many queries a thread decodes at a time, at most.
        progress: As in ``ArbitraryScaleArch.upscale``.
        part: What of the feature is given and of the output wanted, as in ``ArbitraryScaleArch.upscale_part``; without
            attention all of both.
    """
    part = part or whole((feature.shape[-2], feature.shape[-1]), out_size)
    dtype = torch.promote_types(feature.dtype, torch.float32)
    coords = [pixel_centres(n, device=feature.device, dtype=dtype) for n in out_size]
    cell = torch.stack([2.0 / size_tensor(out_size, coords[0])])
    if pos_bias is None:
        resized = feature if size is None else resize_bilinear(feature, size)
        return _render_nearest(branch, resized, coords, cell, max_queries)
    tiles = make_tiles(branch, feature, size, keep_products=False, part=part)
    grid = branch.local_grid
    head = Head(
        first=first_layer(branch).weight[:, : grid[0] * grid[1] * feature.shape[1]],
        bias=constant(branch, cell, tiles.size)[0],
        rest=branch.decoder[1:],
        num_heads=pos_bias.out_features,
    )
    ensemble = shifts(branch)
    told = None if progress is None else lambda pixels: progress(pixels / len(ensemble))
    spans = (part.rows, part.columns)
    predictions, areas = [], []
    for shift in ensemble:
        axes = [_cut(make_axis(coords[i], tiles.size[i], grid[i], shift[i]), spans[i]) for i in (0, 1)]
        dense = [DenseAxis(axis, pos_bias.along(axis.delta, i)) for i, axis in enumerate(axes)]
        predictions.append(attend_grid(tiles, (dense[0], dense[1]), head, max_queries, told))
        areas.append((central(axes[0]).unsqueeze(-1) * central(axes[1])).abs().unsqueeze(-1))
    return blend(predictions, areas)


def _render_nearest(branch: Branch, feature: Tensor, coords: list[Tensor], cell: Tensor, max_queries: int) -> Tensor:
    """Without attention all queries of a pixel are decoded to the same colour: decode each pixel once."""
    size = (feature.shape[-2], feature.shape[-1])
    pixels = branch.to_v(feature).squeeze(0).flatten(1).T  # h * w, C
    weight = first_layer(branch).weight[:, : feature.shape[1]]
    added = constant(branch, cell, size)
    rgb = torch.cat([branch.decoder[1:](part @ weight.T + added) for part in pixels.split(max_queries)]).view(*size, 3)
    predictions, areas = [], []
    for shift in shifts(branch):
        axes = [make_axis(coords[i], size[i], 1, shift[i]) for i in (0, 1)]
        predictions.append(rgb[axes[0].index][:, axes[1].index])
        areas.append((central(axes[0]).unsqueeze(-1) * central(axes[1])).abs().unsqueeze(-1))
    return blend(predictions, areas)


def _cut(axis: Axis, span: Span) -> Axis:
    """A span of an axis' positions."""
    return Axis(axis.index[slice(*span)], axis.delta[slice(*span)], axis.hat[slice(*span)])
