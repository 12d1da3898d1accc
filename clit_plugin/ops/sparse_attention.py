"""Local attention and the decoder's first layer for sampled queries, in chunks, with their gradient.

What a query attends to, (N, C) keys, values and weighted values, is gathered, used and dropped chunk by chunk, and
made again in the backward pass; only the maps and the (Q, F) result live longer. Each query's arithmetic is that of
the plain path.
"""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from clit_plugin.ops.axis import Axis
from clit_plugin.ops.buffers import Buffers
from clit_plugin.ops.coordinates import Size
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
    """Which queries are computed together."""

    def __init__(
        self, tiles: MapTiles, index: tuple[Tensor, Tensor], grid: Size, num_heads: int, weight: Tensor
    ) -> None:
        self.tiles, self.index, self.grid, self.num_heads = tiles, index, grid, num_heads
        # There are a handful of (N, C) tensors a query. A CPU's cache holds them for a few hundred, as many as the
        # products need for their full rate; an accelerator wants more.
        budget = 2**24 if weight.device.type == "cpu" else 2**28
        self.longest = max(1, budget // (weight.shape[1] * weight.element_size()))

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
        with torch.autocast(weight.device.type, enabled=False):  # dtypes are chosen here
            cast = weight.to(sources[0].dtype)
            hidden = cast.new_empty(len(hat), len(weight))
            buffers = Buffers()
            for window in plan.tiles.windows():
                chunks = plan.chunks(window)
                if not chunks:
                    continue
                tables = [tile.flatten(0, 2) for tile in plan.tiles.read(plan.tiles.select(sources, window), window)]
                for chunk in chunks:
                    part = chunk.queries
                    state = _attend(tables, chunk, hat[part], rows[part], columns[part], plan.num_heads, buffers)
                    hidden[part] = F.linear(state.x, cast)
        return hidden

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        plan: _Plan = ctx.plan
        hat, rows, columns, weight, *sources = ctx.saved_tensors
        cast = weight.to(sources[0].dtype)
        weight_grad = torch.zeros_like(weight)
        row_grad, column_grad = torch.zeros_like(rows), torch.zeros_like(columns)
        source_grads = [torch.zeros_like(source) for source in sources]
        buffers = Buffers()
        for window in plan.tiles.windows():
            chunks = plan.chunks(window)
            if not chunks:
                continue
            parts = [part.detach().requires_grad_() for part in plan.tiles.select(sources, window)]
            with torch.enable_grad():
                maps = plan.tiles.read(parts, window)
            tables = [tile.detach().flatten(0, 2) for tile in maps]
            table_grads = [torch.zeros_like(table, dtype=weight.dtype) for table in tables]
            for chunk in chunks:
                part = chunk.queries
                state = _attend(tables, chunk, hat[part], rows[part], columns[part], plan.num_heads, buffers)
                incoming = grad[part]
                weight_grad.addmm_(incoming.T.to(weight.dtype), state.x.to(weight.dtype))
                x_grad = torch.mm(incoming, cast, out=buffers.get("x_grad", cast, len(part), cast.shape[1]))
                logits_grad = _attend_backward(state, x_grad, chunk, hat[part], table_grads, buffers)
                bias_grad = logits_grad.unflatten(1, plan.grid).to(rows.dtype)  # n, G_h, G_w, heads
                row_grad[part], column_grad[part] = bias_grad.sum(2), bias_grad.sum(1)
            tile_grads = [total.view(tile.shape).to(tile.dtype) for total, tile in zip(table_grads, maps, strict=True)]
            part_grads = torch.autograd.grad(maps, parts, tile_grads)
            for total, gradient in zip(plan.tiles.select(source_grads, window), part_grads, strict=True):
                total += gradient
        return None, None, row_grad, column_grad, weight_grad, *source_grads


class _State(NamedTuple):
    """q (n, 1, h, d), k and v (n, N, h, d), attention (n, N, h) and the weighted values x (n, N * C)."""

    q: Tensor
    k: Tensor
    v: Tensor
    attention: Tensor
    x: Tensor


def _attend(
    tables: Sequence[Tensor],
    chunk: _Chunk,
    hat: Tensor,
    rows: Tensor,
    columns: Tensor,
    num_heads: int,
    buffers: Buffers,
) -> _State:
    """Weighted values of n queries.

    Args:
        tables: Maps of q, k and v as tables of pixels, (., C).
        chunk: Which of them each query sees.
        hat: Bilinear weights of q's 3 x 3 pixels, (n, 1, 9).
        rows: Positional bias of the rows, (n, G_h, heads).
        columns: Positional bias of the columns, (n, G_w, heads).
        num_heads: Attention heads.
        buffers: What is returned lies in them until the next call.
    """
    q_table, k_table, v_table = tables
    n, pixels = chunk.patch.shape
    shape = (n, pixels, num_heads, -1)
    around = q_table.index_select(0, chunk.around.flatten()).view(n, 9, -1)
    q = torch.bmm(hat.to(around.dtype), around).view(n, 1, num_heads, -1)
    k, v = (
        torch.index_select(table, 0, chunk.patch.flatten(), out=buffers.get(name, table, n * pixels, table.shape[1]))
        for name, table in (("k", k_table), ("v", v_table))
    )
    k, v = k.view(shape), v.view(shape)
    product = torch.mul(q, k, out=buffers.get("product", k, *k.shape))
    bias = (rows.unsqueeze(2) + columns.unsqueeze(1)).flatten(1, 2)  # n, N, heads
    logits = product.sum(-1, dtype=bias.dtype) / math.sqrt(k.shape[-1]) + bias
    attention = logits.softmax(1)
    x = torch.mul(attention.unsqueeze(-1).to(v.dtype), v, out=buffers.get("x", v, *v.shape))
    return _State(q, k, v, attention, x.flatten(1))


def _attend_backward(
    state: _State, x_grad: Tensor, chunk: _Chunk, hat: Tensor, table_grads: Sequence[Tensor], buffers: Buffers
) -> Tensor:
    """Add to the gradients of the tables of q, k and v; return that of the logits, (n, N, heads)."""
    q, k, v, attention, _ = state
    x_grad = x_grad.view(v.shape)
    product = buffers.get("product", k, *k.shape)
    attention_grad = torch.mul(x_grad, v, out=product).sum(-1, dtype=attention.dtype)
    v_grad = torch.mul(x_grad, attention.unsqueeze(-1).to(v.dtype), out=product)
    _add(table_grads[2], chunk.patch, v_grad)
    mean = (attention * attention_grad).sum(1, keepdim=True)
    logits_grad = attention * (attention_grad - mean)
    scaled = (logits_grad / math.sqrt(k.shape[-1])).unsqueeze(-1).to(k.dtype)  # n, N, heads, 1
    q_grad = torch.mul(scaled, k, out=product).sum(1)  # n, heads, d
    _add(table_grads[1], chunk.patch, torch.mul(scaled, q, out=product))
    _add(table_grads[0], chunk.around, hat.to(k.dtype).transpose(1, 2) * q_grad.flatten(1).unsqueeze(1))
    return logits_grad


def _add(total: Tensor, place: Tensor, gradient: Tensor) -> None:
    total.index_add_(0, place.flatten(), gradient.reshape(place.numel(), -1).to(total.dtype))
