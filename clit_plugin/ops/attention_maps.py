"""Local attention maps of some queries, to be looked at, from those tiles of q and k alone that they see."""

import torch
from torch import Tensor

from clit_plugin.ops.axis import Axis
from clit_plugin.ops.coordinates import Size
from clit_plugin.ops.local_attention import attention_weights
from clit_plugin.ops.map_tiles import MapTiles, grid_offsets, table_index


def attention_maps(tiles: MapTiles, rows: Axis, columns: Axis, bias: Tensor, grid: Size) -> Tensor:
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
