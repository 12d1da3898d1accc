"""Local attention maps of some queries, to be looked at, from those tiles of q and k alone that they see."""

import torch
from torch import Tensor

from clit_plugin.fast.axis import Axis, make_axis
from clit_plugin.fast.branch import Bias, Branch, make_tiles
from clit_plugin.fast.map_tiles import MapTiles, grid_offsets, table_index
from clit_plugin.ops.coordinates import Size
from clit_plugin.ops.local_attention import attention_weights


def attention_maps(
    branch: Branch, feature: Tensor, size: Size | None, coord: Tensor, pos_bias: Bias
) -> tuple[Tensor, Tensor]:
    """The local attention maps of eq. 4 themselves, to be looked at.

    Args:
        branch: Its parameters; it has attention.
        feature: (B, C, h, w).
        size: The grid to which the feature is resized first; None for its own.
        coord: (B, Q, 2), as in ``CLIT.forward``.
        pos_bias: The network's positional bias.

    Returns:
        Weights (B, Q, N, heads), summing to 1 over the N = G_h * G_w pixels of the local grid, row by row; and
        the grid's centre pixel (B, Q, 2), the nearest to the query, in the map of ``size``. Under a local ensemble
        these are the maps of that grid, not of the four that are blended.
    """
    weights, index = [], []
    for i in range(len(feature)):
        tiles = make_tiles(branch, feature[i : i + 1], size, keep_products=False)
        rows, columns = (make_axis(coord[i, :, j], tiles.size[j], branch.local_grid[j]) for j in (0, 1))
        by_row, by_column = pos_bias.along(rows.delta, 0), pos_bias.along(columns.delta, 1)
        bias = (by_row.unsqueeze(2) + by_column.unsqueeze(1)).flatten(1, 2)
        weights.append(_of_queries(tiles, rows, columns, bias, branch.local_grid))
        index.append(torch.stack([rows.index, columns.index], -1))
    return torch.stack(weights), torch.stack(index)


def _of_queries(tiles: MapTiles, rows: Axis, columns: Axis, bias: Tensor, grid: Size) -> Tensor:
    """Weights of eq. 4.

    Args:
        tiles: Maps of q, k and v of one image.
        rows: Rows of the queries, (Q,).
        columns: Likewise.
        bias: Positional bias, (Q, N, heads) with N = G_h * G_w.
        grid: (G_h, G_w), odd.

    Returns:
        (Q, N, heads).
    """
    hat = torch.einsum("qi,qj->qij", rows.hat, columns.hat).flatten(1)
    weights = torch.empty_like(bias)
    for window in tiles.windows():
        inside = (rows.index >= window.top) & (rows.index < window.bottom)
        queries = (inside & (columns.index >= window.left) & (columns.index < window.right)).nonzero().squeeze(1)
        if not len(queries):
            continue
        q, k, _ = (tile.flatten(0, 2) for tile in tiles.read(tiles.select(tiles.sources, window), window))
        centre = table_index(tiles, window, rows.index[queries], columns.index[queries]).unsqueeze(-1)
        around = q[centre + grid_offsets(tiles, window, (3, 3), centre.device)]  # n, 9, C
        keys = k[centre + grid_offsets(tiles, window, grid, centre.device)]  # n, N, C
        sampled = torch.einsum("nk,nkc->nc", hat[queries].to(around.dtype), around)
        weights[queries] = attention_weights(sampled[None], keys[None], bias[None, queries])[0].to(weights.dtype)
    return weights
