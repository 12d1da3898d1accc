"""Queries at any coordinates, with gradients: what training needs."""

from collections.abc import Sequence

from torch import Tensor

from clit_plugin.fast.branch import Bias, Branch, biased_axes, central, constant, make_tiles, pixel_weight, shifts
from clit_plugin.fast.fused_choice import fused_arithmetic
from clit_plugin.fast.no_autocast import no_autocast
from clit_plugin.fast.query_attention import attend_queries
from clit_plugin.ops.coordinates import Size
from clit_plugin.ops.local_ensemble import blend

# Of the reference path's largest tensor, up to which that path is the faster one on an accelerator: in chunks by
# torch's operations ``sample`` moves about as much memory, in more launches; with fused kernels a third of it.
REFERENCE_BYTES = 2**29
REFERENCE_BYTES_FUSED = 2**27


def sampling_pays(branch: Branch, feature: Tensor, coord: Tensor, stage_sizes: Sequence[Size], pos_bias: Bias) -> bool:
    """Whether ``sample`` is better than the reference path: always on a CPU, and elsewhere where tensors are large.

    On an accelerator the reference path is few large operations; ``sample`` costs a small network more launches than it
    saves memory.

    Args:
        branch: One of the branches.
        feature: (B, C, h, w).
        coord: (B, Q, 2).
        stage_sizes: The grids to which the feature is resized.
        pos_bias: The network's positional bias.
    """
    if feature.device.type == "cpu":
        return True
    grid, channels = branch.local_grid, feature.shape[1]
    pixels = max([coord.shape[1] * grid[0] * grid[1], *(h * w for h, w in stage_sizes)])
    largest = len(feature) * pixels * max(channels, pos_bias.in_features) * feature.element_size()
    if not REFERENCE_BYTES_FUSED < largest <= REFERENCE_BYTES:
        return largest > REFERENCE_BYTES
    weight = pixel_weight(branch, channels)
    return fused_arithmetic(feature.movedim(1, -1), weight, pos_bias.out_features, grid) is not None


def sample(branch: Branch, feature: Tensor, size: Size | None, coord: Tensor, cell: Tensor, pos_bias: Bias) -> Tensor:
    """Residual colours of a branch with attention at sampled queries, with gradients.

    Args:
        branch: Its parameters.
        feature: (B, C, h, w).
        size: The grid to which the feature is resized first; None for its own.
        coord: (B, Q, 2), as in ``CLIT.forward``.
        cell: (B, 2), likewise.
        pos_bias: The network's positional bias.

    Returns:
        (B, Q, 3).
    """
    tiles = make_tiles(branch, feature, size, keep_products=True)
    weight = pixel_weight(branch, feature.shape[1])
    fused = fused_arithmetic(tiles.sources[0], weight, pos_bias.out_features, branch.local_grid)
    added = constant(branch, cell, tiles.size).unsqueeze(1)  # B, 1, F
    predictions, areas = [], []
    for shift in shifts(branch):
        with no_autocast(coord.device):  # frequencies are too high for bfloat16
            rows, columns = biased_axes(branch, tiles.size, (coord[..., 0], coord[..., 1]), pos_bias, shift)
        hidden = attend_queries(tiles, (rows, columns), weight, fused)
        predictions.append(branch.decoder.rest(hidden + added))
        areas.append((central(rows.geometry) * central(columns.geometry)).abs().unsqueeze(-1))
    return blend(predictions, areas)
