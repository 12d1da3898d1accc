"""Queries at any coordinates, with gradients: what training needs."""

from torch import Tensor

from clit_plugin.fast.axis import make_axis
from clit_plugin.fast.branch import Bias, Branch, central, constant, first_layer, make_tiles, shifts
from clit_plugin.fast.fused_choice import fused_arithmetic
from clit_plugin.fast.query_attention import attend_queries
from clit_plugin.ops.coordinates import Size
from clit_plugin.ops.local_ensemble import blend


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
    grid = branch.local_grid
    weight, num_heads = first_layer(branch).weight[:, : grid[0] * grid[1] * feature.shape[1]], pos_bias.out_features
    fused = fused_arithmetic(tiles.sources[0], weight, num_heads, grid)
    added = constant(branch, cell, tiles.size).unsqueeze(1)  # B, 1, F
    predictions, areas = [], []
    for shift in shifts(branch):
        axes = [make_axis(coord[..., i], tiles.size[i], grid[i], shift[i]) for i in (0, 1)]
        bias = (pos_bias.along(axes[0].delta, 0), pos_bias.along(axes[1].delta, 1))
        hidden = attend_queries(tiles, (axes[0], axes[1]), bias, weight, num_heads, grid, fused)
        predictions.append(branch.decoder[1:](hidden + added))
        areas.append((central(axes[0]) * central(axes[1])).abs().unsqueeze(-1))
    return blend(predictions, areas)
