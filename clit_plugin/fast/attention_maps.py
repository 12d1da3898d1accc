"""Local attention maps of some queries, from those tiles of q and k alone that they see."""

import torch
from torch import Tensor

from clit_plugin.fast.branch import Bias, Branch, biased_axes, make_tiles
from clit_plugin.fast.query_windows import query_windows
from clit_plugin.fast.tile_tables import grid_places, read_tables
from clit_plugin.ops.coordinates import Size
from clit_plugin.ops.local_attention import attention_weights
from clit_plugin.ops.parts import Part

_CHUNK = 4096  # queries at a time


def attention_maps(
    branch: Branch, feature: Tensor, size: Size | None, coord: Tensor, pos_bias: Bias, part: Part | None = None
) -> tuple[Tensor, Tensor]:
    """The softmax of eq. 7, which a figure shows (Fig. 7).

    Args:
        branch: Its parameters; it has attention.
        feature: (B, C, h, w).
        size: The grid to which the feature is resized first; None for its own.
        coord: (B, Q, 2), as in ``CLIT.forward``.
        pos_bias: The network's positional bias.
        part: Of which part of an image the feature is, as in ``render``; all by default.

    Returns:
        Weights (B, Q, N, heads), summing to 1 over the N = G_h * G_w pixels of the local grid, row by row; and
        the grid's centre pixel (B, Q, 2), the nearest to the query, in the map of ``size``. Under a local ensemble
        these are the maps of that grid, not of the four that are blended.
    """
    tiles = make_tiles(branch, feature, size, keep_products=False, part=part)
    rows, columns = biased_axes(branch, tiles.size, (coord[..., 0], coord[..., 1]), pos_bias)
    index = (rows.geometry.index, columns.geometry.index)  # B, Q
    hat = torch.einsum("bqi,bqj->bqij", rows.geometry.hat, columns.geometry.hat).flatten(2).flatten(0, 1)
    bias = (rows.bias.unsqueeze(3) + columns.bias.unsqueeze(2)).flatten(2, 3)  # B, Q, N, heads
    weights = bias.new_empty(bias.shape)
    top, bottom, left, right = (int(n) for each in index for n in (each.min(), each.max() + 1))
    for window, chunks in query_windows(tiles, index, _CHUNK, ((top, bottom), (left, right))):
        tables = read_tables(tiles, tiles.sources, window)
        for queries, centre, width in chunks:
            around = tables.q[grid_places(centre, width, (3, 3))]  # n, 9, C
            keys = tables.k[grid_places(centre, width, branch.local_grid)]  # n, N, C
            q = torch.einsum("nk,nkc->nc", hat[queries].to(around.dtype), around)
            some = attention_weights(q[None], keys[None], bias.flatten(0, 1)[None, queries])[0]
            weights.flatten(0, 1)[queries] = some.to(weights.dtype)
    return weights, torch.stack(index, -1)
