"""Local attention and the decoder's first layer on an output grid by Triton kernels."""

import math
from typing import Any, NamedTuple

import torch
from torch import Tensor

from clit_plugin.fast.fused_tiles import Shapes, Tile, power

_BLOCK = 16  # the least side of a product of matrices
_MAX_QUERIES = 32  # of a centre, for which T is not worth storing


class GridQueries(NamedTuple):
    """The queries of a strip, Q = a * b for each of n = ny * nx centres.

    centre: (n,), where the centres lie in the tables of pixels.
    width: Pixels of a row of the tables.
    rows: (ny, a), rows of the output.
    columns: (nx, b), columns of the output.
    hats: (H_out, 3) and (W_out, 3), bilinear weights of q's neighbours.
    bias: (H_out, G_h, heads) and (W_out, G_w, heads), positional bias.
    """

    centre: Tensor
    width: int
    rows: Tensor
    columns: Tensor
    hats: tuple[Tensor, Tensor]
    bias: tuple[Tensor, Tensor]

    @property
    def each(self) -> int:
        """Queries of a centre."""
        return self.rows.shape[1] * self.columns.shape[1]


class FusedGrid:
    """What the strips of an output grid need, by Triton kernels: neither logits nor T reach memory.

    Tables and W1 are of one dtype, float32, float16 or bfloat16; logits and softmax are float32.

    Args:
        shapes: What the kernels are compiled for.
        dtype: Of the tables.
        tf32: As in ``FusedAttention``.
        kernels: What is launched, by default ``fused_kernels.grid``.
    """

    def __init__(self, shapes: Shapes, dtype: torch.dtype, *, tf32: bool, kernels: Any = None) -> None:
        if kernels is None:
            from clit_plugin.fast.fused_kernels import grid as kernels

        self.kernels, self.shapes, self.dtype = kernels, shapes, dtype
        self.precision = "ieee" if dtype != torch.float32 else "tf32" if tf32 else "tf32x3"

    def attention(self, q: Tensor, k: Tensor, queries: GridQueries) -> Tensor:
        """(n, Q, heads, N) in the tables' dtype, from tables (pixels, C) and (heads, pixels, depth)."""
        shapes, n, each = self.shapes, len(queries.centre), queries.each
        attention = q.new_empty(n, each, shapes.heads, shapes.pixels)
        tile = attention_tile(shapes, self.dtype)
        self.kernels.grid_attention_kernel[(n, _ceil(each, tile["block"]))](
            *(q, k, queries.centre, queries.rows, queries.columns, *queries.hats, *queries.bias, attention),
            *(len(queries.columns), queries.rows.shape[1], queries.columns.shape[1], queries.width, k.shape[1]),
            *(1.0 / math.sqrt(shapes.depth), *shapes.sizes),
            **tile,
            precision=self.precision,
        )
        return attention

    def hidden(self, v: Tensor, queries: GridQueries, attention: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        """(n, Q, F) from the table (heads, pixels, depth), W1 (heads, N, depth, F) and the bias (F,)."""
        shapes, n, each = self.shapes, len(queries.centre), queries.each
        hidden = v.new_empty(n, each, shapes.features)
        tile = hidden_tile(shapes, self.dtype, each)
        grid = (
            _ceil(n, tile["block"]),
            _ceil(each, tile["queries_tile"]),
            _ceil(shapes.features, tile["features_tile"]),
        )
        self.kernels.grid_hidden_kernel[grid](
            *(v, queries.centre, attention, weight, bias, hidden, n, each, queries.width, v.shape[1]),
            *(*shapes.sizes, shapes.features),
            **tile,
            precision=self.precision,
        )
        return hidden

    @staticmethod
    def has_hidden(each: int) -> bool:
        """Whether ``hidden`` is for so many queries of a centre; for more, T is better computed once and stored."""
        return each <= _MAX_QUERIES


def attention_tile(shapes: Shapes, dtype: torch.dtype) -> Tile:
    """Sizes of what a program computes at once, its warps and how many steps are loaded ahead."""
    pixels, depth = max(_BLOCK, power(shapes.pixels)), max(_BLOCK, power(shapes.depth))
    large = dtype == torch.float32 or pixels * depth > 2048
    tile = {"block": _BLOCK, "pixels_tile": pixels, "depth_tile": depth}
    return {**tile, "num_warps": 8 if large else 4, "num_stages": 2}


def hidden_tile(shapes: Shapes, dtype: torch.dtype, each: int) -> Tile:
    """Likewise; ``each``: queries of a centre."""
    half = dtype != torch.float32
    queries = min(_MAX_QUERIES, max(_BLOCK, power(each)))
    max_features = (1024 if half else 512) // queries  # features
    features, depth = min(max_features, max(_BLOCK, power(shapes.features))), max(_BLOCK, power(shapes.depth))
    tile = {"block": _BLOCK, "queries_tile": queries, "features_tile": features, "products_tile": _BLOCK}
    tile["depth_tile"] = depth if half and depth <= 32 else _BLOCK  # of larger heads in parts
    return {**tile, "num_warps": 8, "num_stages": 1}


def _ceil(n: int, size: int) -> int:
    return -(-n // size)
