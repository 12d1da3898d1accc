"""Local attention and the decoder's first layer by Triton kernels."""

import math
from typing import Any, NamedTuple

import torch
from torch import Tensor

from clit_plugin.fast.arithmetic import Chunk, Totals
from clit_plugin.fast.fused_tiles import Shapes, choose_tiles, scatter_tile
from clit_plugin.fast.tile_tables import Tables

CROWDED = 0.5
_SCRATCH = 2**30  # bytes of a chunk's logits and their like
_PROGRAMS = 512  # in which W1's gradient is summed, about


class FusedAttention:
    """Arithmetic of ``attend_queries`` by Triton kernels; no (N, C) tensor of a query reaches memory.

    Tables and W1 are of one dtype, float32, float16 or bfloat16; positional bias, softmax and gradients are float32.
    The order in which the gradient of W1 is summed varies; that of v likewise where there are few queries.

    Args:
        shapes: What the kernels are compiled for.
        dtype: Of the tables.
        tf32: Whether products of float32 have 10 bits; if not, three such products make up for the missing bits.
        large: See ``choose_tiles``.
        crowded: Queries for each pixel of the tables from which on v's gradient is summed pixel by pixel. With fewer,
            most of what that multiplies would be zeros, and atomics add a query's part to each of its pixels.
        kernels: What is launched, by default ``fused_kernels``.
    """

    def __init__(
        self,
        shapes: Shapes,
        dtype: torch.dtype,
        *,
        tf32: bool,
        large: bool,
        crowded: float = CROWDED,
        kernels: Any = None,
    ) -> None:
        if kernels is None:
            from clit_plugin.fast import fused_kernels as kernels

        self.kernels, self.crowded = kernels, crowded
        self.shapes = shapes
        self.tiles = choose_tiles(shapes, dtype, large=large)
        self.precision = "ieee" if dtype != torch.float32 else "tf32" if tf32 else "tf32x3"
        # Logits, attention and the gradients of both live at once.
        self.longest = max(1, _SCRATCH // (4 * 4 * shapes.pixels * shapes.heads))

    def forward(self, tables: Tables, chunk: Chunk, weight: Tensor) -> tuple[Tensor, Tensor]:
        attention = self._attention(tables, chunk)
        n, features, tile = len(attention), self.shapes.features, self.tiles.hidden
        hidden = weight.new_empty(n, features)
        grid = (_ceil(n, tile["block"]), _ceil(features, tile["features_tile"]))
        self.kernels.hidden_kernel[grid](
            *(tables.v, chunk.centre, attention, weight.contiguous(), hidden, n, chunk.width),
            *(*self.shapes.sizes, features),
            **tile,
            precision=self.precision,
        )
        return hidden, attention

    def backward(
        self, tables: Tables, chunk: Chunk, weight: Tensor, grad: Tensor, totals: Totals, kept: Tensor | None
    ) -> Tensor:
        assert all(total.dtype == torch.float32 and total.is_contiguous() for total in totals)
        attention = kept if kept is not None else self._attention(tables, chunk)
        grad = grad.contiguous()
        self._weight_grad(tables.v, chunk, attention, grad, totals.weight)
        by_centre = _sort(chunk.centre, len(tables.v))
        n, pixels = len(attention), len(tables.v)
        attention_grad = torch.empty_like(attention)
        arguments = (attention, weight.contiguous(), grad, attention_grad, totals.v)
        sizes = (*self.shapes.sizes, self.shapes.features)
        tile = self.tiles.values_by_pixel
        if tile is not None and n >= self.crowded * pixels:
            self.kernels.values_by_pixel_kernel[(_ceil(pixels, tile["block"]), self.shapes.heads)](
                *(tables.v, *by_centre, *arguments, pixels, chunk.width, *sizes), **tile, precision=self.precision
            )
        else:
            tile = self.tiles.values_backward
            self.kernels.values_backward_kernel[(_ceil(n, tile["block"]),)](
                *(tables.v, chunk.centre, *arguments, n, chunk.width, *sizes), **tile, precision=self.precision
            )
        logits_grad = torch._softmax_backward_data(attention_grad, attention, 1, torch.float32)
        self._logits_backward(tables, chunk, by_centre, logits_grad, totals)
        return logits_grad

    def _logits_backward(
        self, tables: Tables, chunk: Chunk, by_centre: "_Sorted", logits_grad: Tensor, totals: Totals
    ) -> None:
        """Add to the gradients of q and k."""
        n, tile = len(logits_grad), self.tiles.logits_backward
        q_between, q_grad = (tables.q.new_empty(n, self.shapes.channels) for _ in range(2))
        self.kernels.logits_backward_kernel[(_ceil(n, tile["block"]),)](
            *(tables.q, tables.k, chunk.centre, chunk.hat, logits_grad, q_between, q_grad, n, chunk.width),
            *(self._scale, *self.shapes.sizes),
            **tile,
        )
        for total, shares, values, scale, heads, grid in (
            (totals.k, logits_grad, q_between, self._scale, self.shapes.heads, self.shapes.grid),
            (totals.q, chunk.hat, q_grad, 1.0, 1, (3, 3)),
        ):
            depth = self.shapes.channels // heads
            tile = self.tiles.scatter if heads > 1 else scatter_tile(depth)
            self.kernels.scatter_kernel[(_ceil(len(total), tile["block"]), heads * _ceil(depth, tile["depth_tile"]))](
                *(shares, values, *by_centre, total, len(total), chunk.width),
                *(scale, heads, depth, *grid),
                **tile,
                precision=self.precision,
            )

    def _attention(self, tables: Tables, chunk: Chunk) -> Tensor:
        """(n, N, heads), float32."""
        n, tile = len(chunk.centre), self.tiles.logits
        logits = torch.empty(n, self.shapes.pixels, self.shapes.heads, device=chunk.hat.device)
        self.kernels.logits_kernel[(_ceil(n, tile["block"]),)](
            *(tables.q, tables.k, chunk.centre, chunk.hat, chunk.rows, chunk.columns),
            *(logits, n, chunk.width, self._scale, *self.shapes.sizes),
            **tile,
        )
        return logits.softmax(1)

    def _weight_grad(self, v: Tensor, chunk: Chunk, attention: Tensor, grad: Tensor, weight_grad: Tensor) -> None:
        n, tile = len(attention), self.tiles.weight_grad
        columns = self.shapes.pixels * _ceil(self.shapes.channels, tile["channels_tile"])
        rows = _ceil(self.shapes.features, tile["features_tile"])
        # Enough programs for every multiprocessor to have a few, each with enough queries to be worth its sum.
        splits = min(_ceil(_PROGRAMS, rows * columns), _ceil(n, 4 * tile["block"]))
        queries = _ceil(_ceil(n, splits), tile["block"]) * tile["block"]
        self.kernels.weight_grad_kernel[(columns, rows, splits)](
            *(v, chunk.centre, attention, grad, weight_grad, n, chunk.width, queries),
            *(*self.shapes.sizes, self.shapes.features),
            **tile,
            precision=self.precision,
        )

    @property
    def _scale(self) -> float:
        return 1.0 / math.sqrt(self.shapes.depth)


class _Sorted(NamedTuple):
    """Queries by centre: the centres (n,), the queries (n,), and how many centres come before a pixel (pixels + 1,)."""

    centre: Tensor
    order: Tensor
    starts: Tensor


def _sort(centre: Tensor, pixels: int) -> _Sorted:
    centre, order = centre.sort()
    return _Sorted(centre, order, torch.searchsorted(centre, torch.arange(pixels + 1, device=centre.device)))


def _ceil(n: int, size: int) -> int:
    return -(-n // size)
