"""Local attention and the decoder's first layer for sampled queries, in chunks, with their gradient.

What a query attends to, (N, C) keys, values and weighted values, is gathered, used and dropped chunk by chunk, and
made again in the backward pass; only the maps and the (Q, F) result live longer. Each query's arithmetic is that of
the plain path.
"""

from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from clit_plugin.ops.axis import Axis
from clit_plugin.ops.coordinates import Size
from clit_plugin.ops.local_attention import attention_weights, weight_values
from clit_plugin.ops.map_tiles import MapTiles, Window, grid_offsets, table_index


class _Chunk(NamedTuple):
    """Some queries of one tile: their numbers (n,), and where their 3 x 3 and G_h x G_w pixels are in its table."""

    queries: Tensor
    around: Tensor
    patch: Tensor


def attend_queries(
    tiles: MapTiles, axes: tuple[Axis, Axis], bias: tuple[Tensor, Tensor], weight: Tensor, num_heads: int, grid: Size
) -> Tensor:
    """W1 x for every query, where x are its grid's values, weighted by attention.

    Args:
        tiles: Maps of q, k and v, (B, ., ., C).
        axes: Rows and columns of the queries, (B, Q).
        bias: Positional bias of the rows (B, Q, G_h, heads) and of the columns (B, Q, G_w, heads).
        weight: W1, (F, N * C) with N = G_h * G_w.
        num_heads: Attention heads.
        grid: (G_h, G_w), odd.

    Returns:
        (B, Q, F).
    """
    b, n_query = axes[0].index.shape
    plan = _Plan(tiles, (axes[0].index, axes[1].index), grid, num_heads, weight)
    hat = torch.einsum("bqi,bqj->bqij", axes[0].hat, axes[1].hat).view(b * n_query, 1, 9).to(weight.dtype)
    rows, columns = (part.flatten(0, 1) for part in bias)
    hidden = _Attend.apply(plan, hat, rows, columns, weight, *tiles.sources)
    return hidden.view(b, n_query, -1)


class _Plan:
    """Which queries are computed together, and how."""

    def __init__(
        self, tiles: MapTiles, index: tuple[Tensor, Tensor], grid: Size, num_heads: int, weight: Tensor
    ) -> None:
        self.tiles, self.index, self.grid, self.num_heads = tiles, index, grid, num_heads
        device = weight.device
        # k, v, the products with q, the weighted values and their gradients: about eight (N, C) tensors a query.
        budget = 2**26 if device.type == "cpu" else 2**30
        self.longest = max(1, budget // (8 * weight.shape[1] * weight.element_size()))
        self.autocast = (
            (device.type, torch.get_autocast_dtype(device.type)) if torch.is_autocast_enabled(device.type) else None
        )

    def casting(self) -> Any:
        """The autocast of the forward pass, for the backward pass."""
        return nullcontext() if self.autocast is None else torch.autocast(self.autocast[0], self.autocast[1])

    def chunks(self, window: Window) -> list[_Chunk]:
        rows, columns = self.index
        n_query = rows.shape[1]
        inside = (rows >= window.top) & (rows < window.bottom) & (columns >= window.left) & (columns < window.right)
        inside[: window.first] = inside[window.last :] = False
        queries = inside.flatten().nonzero().squeeze(1)
        height, width = (
            length + 2 * halo
            for length, halo in zip(
                (window.bottom - window.top, window.right - window.left), self.tiles.halo, strict=True
            )
        )
        centre = table_index(self.tiles, window, rows, columns).flatten()[queries]
        centre = (centre + (queries // n_query - window.first) * (height * width)).unsqueeze(-1)
        around = centre + grid_offsets(self.tiles, window, (3, 3), centre.device)
        patch = centre + grid_offsets(self.tiles, window, self.grid, centre.device)
        parts = (queries.split(self.longest), around.split(self.longest), patch.split(self.longest))
        return [_Chunk(*part) for part in zip(*parts, strict=True) if len(part[0])]


class _Attend(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, plan: _Plan, hat: Tensor, rows: Tensor, columns: Tensor, weight: Tensor, *sources: Tensor
    ) -> Tensor:
        ctx.plan = plan
        ctx.save_for_backward(hat, rows, columns, weight, *sources)
        hidden: Tensor | None = None
        for window in plan.tiles.windows():
            chunks = plan.chunks(window)
            if not chunks:
                continue
            tables = [tile.flatten(0, 2) for tile in plan.tiles.read(plan.tiles.select(sources, window), window)]
            for chunk in chunks:
                part = chunk.queries
                q, k, v = _gather(tables, chunk)
                x = _attended(q, k, v, hat[part], rows[part], columns[part], plan.num_heads)
                product = F.linear(x, weight)
                if hidden is None:
                    hidden = product.new_empty(len(hat), product.shape[1])
                hidden[part] = product
        return weight.new_empty(len(hat), len(weight)) if hidden is None else hidden

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        plan: _Plan = ctx.plan
        hat, rows, columns, weight, *sources = ctx.saved_tensors
        weight_grad = torch.zeros_like(weight)
        row_grad, column_grad = torch.zeros_like(rows), torch.zeros_like(columns)
        source_grads = [torch.zeros_like(source) for source in sources]
        for window in plan.tiles.windows():
            chunks = plan.chunks(window)
            if not chunks:
                continue
            parts = [part.detach().requires_grad_() for part in plan.tiles.select(sources, window)]
            with torch.enable_grad(), plan.casting():
                maps = plan.tiles.read(parts, window)
            tables = [tile.detach().flatten(0, 2) for tile in maps]
            table_grads = [torch.zeros_like(table) for table in tables]
            for chunk in chunks:
                part = chunk.queries
                inputs = [t.detach().requires_grad_() for t in (*_gather(tables, chunk), rows[part], columns[part])]
                q, k, v, row, column = inputs
                with torch.enable_grad(), plan.casting():
                    x = _attended(q, k, v, hat[part], row, column, plan.num_heads)
                incoming = grad[part]
                weight_grad.addmm_(incoming.T.to(weight.dtype), x.detach().to(weight.dtype))
                x_grad = (incoming @ weight.to(incoming.dtype)).to(x.dtype)
                *gathered, row_grad[part], column_grad[part] = torch.autograd.grad(x, inputs, x_grad)
                places = (chunk.around, chunk.patch, chunk.patch)
                for total, place, gradient in zip(table_grads, places, gathered, strict=True):
                    total.index_add_(0, place.flatten(), gradient.flatten(0, 1))
            tile_grads = [total.view(tile.shape) for total, tile in zip(table_grads, maps, strict=True)]
            part_grads = torch.autograd.grad(maps, parts, tile_grads)
            for total, gradient in zip(plan.tiles.select(source_grads, window), part_grads, strict=True):
                total += gradient
        return None, None, row_grad, column_grad, weight_grad, *source_grads


def _attended(
    around: Tensor, k: Tensor, v: Tensor, hat: Tensor, rows: Tensor, columns: Tensor, num_heads: int
) -> Tensor:
    """Weighted values (n, N * C) of n queries.

    Args:
        around: Map of q at the centre's 3 x 3 pixels, (n, 9, C).
        k: Map of k at the pixels of the local grid, (n, N, C).
        v: Likewise.
        hat: Bilinear weights of ``around``, (n, 1, 9).
        rows: Positional bias of the rows, (n, G_h, heads).
        columns: Positional bias of the columns, (n, G_w, heads).
        num_heads: Attention heads.
    """
    q = torch.bmm(hat.to(around.dtype), around).squeeze(1)  # n, C
    bias = (rows.unsqueeze(2) + columns.unsqueeze(1)).flatten(1, 2)  # n, N, heads
    weights = attention_weights(q.unsqueeze(0), k.unsqueeze(0), bias.unsqueeze(0))
    return weight_values(weights.to(v.dtype), v.unsqueeze(0)).flatten(2).squeeze(0)


def _gather(tables: Sequence[Tensor], chunk: _Chunk) -> list[Tensor]:
    """The chunk's pixels of q (n, 9, C), of k and of v (n, N, C)."""
    return [
        table.index_select(0, place.flatten()).view(*place.shape, -1)
        for table, place in zip(tables, (chunk.around, chunk.patch, chunk.patch), strict=True)
    ]
