"""Local attention and the decoder's first layer for sampled queries, in chunks, with their gradient.

What a query attends to, (N, C) keys, values and weighted values, is gathered, used and dropped chunk by chunk, and
made again in the backward pass; only the maps and the (Q, F) result live longer. Each query's arithmetic is that of
the plain path.
"""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from clit_plugin.fast.axis import Axis
from clit_plugin.fast.buffers import Buffers
from clit_plugin.fast.map_tiles import MapTiles, Window, table_index, table_offsets
from clit_plugin.ops.coordinates import Size


class Chunk(NamedTuple):
    """Some queries of one tile.

    queries: Their numbers, (n,) or a slice.
    centre: (n,), where their grids' centres are in the tile's table of pixels.
    width: Pixels of a row of the tile.
    """

    queries: Tensor | slice
    centre: Tensor
    width: int


class Arithmetic(Protocol):
    """How the queries of a chunk are computed.

    ``tables`` are the maps of q, k and v as tables of pixels, (., C); ``hat`` (n, 9) bilinear weights of q's 3 x 3
    pixels; ``rows`` (n, G_h, heads) and ``columns`` (n, G_w, heads) positional bias; ``weight`` W1, (F, N * C), in the
    tables' dtype.

    longest: Queries of a chunk, at most.
    """

    longest: int

    def forward(
        self, tables: Sequence[Tensor], chunk: Chunk, hat: Tensor, rows: Tensor, columns: Tensor, weight: Tensor
    ) -> Tensor:
        """W1 x of the chunk's queries, (n, F)."""
        ...

    def backward(
        self,
        tables: Sequence[Tensor],
        chunk: Chunk,
        hat: Tensor,
        rows: Tensor,
        columns: Tensor,
        weight: Tensor,
        grad: Tensor,
        table_grads: Sequence[Tensor],
        weight_grad: Tensor,
    ) -> Tensor:
        """From grad (n, F): add to the gradients of the tables and of W1; return that of the logits, (n, N, heads)."""
        ...


def attend_queries(
    tiles: MapTiles,
    axes: tuple[Axis, Axis],
    bias: tuple[Tensor, Tensor],
    weight: Tensor,
    num_heads: int,
    grid: Size,
    arithmetic: Arithmetic | None = None,
) -> Tensor:
    """W1 x for every query, where x are its grid's values, weighted by attention.

    Args:
        tiles: Maps of q, k and v, (B, ., ., C).
        axes: Rows and columns of the queries, (B, Q).
        bias: Positional bias of the rows (B, Q, G_h, heads) and of the columns (B, Q, G_w, heads).
        weight: W1, (F, N * C) with N = G_h * G_w.
        num_heads: Attention heads.
        grid: (G_h, G_w), odd.
        arithmetic: By default torch's operations, chunk by chunk.

    Returns:
        (B, Q, F).
    """
    b, n_query = axes[0].index.shape
    if arithmetic is None:
        arithmetic = TorchArithmetic(grid=grid, num_heads=num_heads, weight=weight)
    plan = _Plan(tiles, (axes[0].index, axes[1].index), grid, arithmetic)
    hat = torch.einsum("bqi,bqj->bqij", axes[0].hat, axes[1].hat).view(b * n_query, 9).to(weight.dtype)
    rows, columns = (part.flatten(0, 1) for part in bias)
    hidden = _Attend.apply(plan, hat, rows, columns, weight, *tiles.sources)
    return hidden.view(b, n_query, -1)


class _Plan:
    """Which queries are computed together, and how."""

    def __init__(self, tiles: MapTiles, index: tuple[Tensor, Tensor], grid: Size, arithmetic: Arithmetic) -> None:
        self.tiles, self.index, self.grid, self.arithmetic = tiles, index, grid, arithmetic

    def chunks(self, window: Window) -> list[Chunk]:
        rows, columns = (index[window.first : window.last] for index in self.index)
        width = window.right - window.left + 2 * self.tiles.halo[1]
        height = window.bottom - window.top + 2 * self.tiles.halo[0]
        image = torch.arange(window.last - window.first, device=rows.device).unsqueeze(1)
        centre = (table_index(self.tiles, window, rows, columns) + image * (height * width)).flatten()
        first = window.first * rows.shape[1]
        longest = self.arithmetic.longest
        if (window.top, window.left, window.bottom, window.right) == (0, 0, *self.tiles.size):
            # All queries of these images: nothing has to be picked, for which an accelerator's host would wait.
            starts = range(0, len(centre), longest)
            slices = [slice(start, min(start + longest, len(centre))) for start in starts]
            return [Chunk(slice(first + part.start, first + part.stop), centre[part], width) for part in slices]
        inside = (rows >= window.top) & (rows < window.bottom) & (columns >= window.left) & (columns < window.right)
        picked = inside.flatten().nonzero().squeeze(1)
        parts = picked.split(longest) if len(picked) else ()
        return [Chunk(first + part, centre[part], width) for part in parts]


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
            for window in plan.tiles.windows():
                chunks = plan.chunks(window)
                if not chunks:
                    continue
                tables = [tile.flatten(0, 2) for tile in plan.tiles.read(plan.tiles.select(sources, window), window)]
                for chunk in chunks:
                    part = chunk.queries
                    seen = (hat[part], rows[part], columns[part])
                    hidden[part] = plan.arithmetic.forward(tables, chunk, *seen, cast)
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
                logits_grad = plan.arithmetic.backward(
                    tables, chunk, hat[part], rows[part], columns[part], cast, grad[part], table_grads, weight_grad
                )
                bias_grad = logits_grad.unflatten(1, plan.grid).to(rows.dtype)  # n, G_h, G_w, heads
                row_grad[part], column_grad[part] = bias_grad.sum(2), bias_grad.sum(1)
            tile_grads = [total.view(tile.shape).to(tile.dtype) for total, tile in zip(table_grads, maps, strict=True)]
            part_grads = torch.autograd.grad(maps, parts, tile_grads)
            for total, gradient in zip(plan.tiles.select(source_grads, window), part_grads, strict=True):
                total += gradient
        return None, None, row_grad, column_grad, weight_grad, *source_grads


class TorchArithmetic:
    """Torch's own operations, on any device and in any dtype.

    Args:
        grid: (G_h, G_w), odd.
        num_heads: Attention heads.
        weight: W1, (F, N * C); it decides how many queries make a chunk.
    """

    def __init__(self, *, grid: Size, num_heads: int, weight: Tensor) -> None:
        self.grid, self.num_heads = grid, num_heads
        self.buffers = Buffers()
        # There are a handful of (N, C) tensors a query. A CPU's cache holds them for a few hundred, as many as the
        # products need for their full rate; an accelerator wants more.
        budget = 2**24 if weight.device.type == "cpu" else 2**28
        self.longest = max(1, budget // (weight.shape[1] * weight.element_size()))

    def forward(
        self, tables: Sequence[Tensor], chunk: Chunk, hat: Tensor, rows: Tensor, columns: Tensor, weight: Tensor
    ) -> Tensor:
        return F.linear(self._attend(tables, self._places(chunk), hat, rows, columns).x, weight)

    def backward(
        self,
        tables: Sequence[Tensor],
        chunk: Chunk,
        hat: Tensor,
        rows: Tensor,
        columns: Tensor,
        weight: Tensor,
        grad: Tensor,
        table_grads: Sequence[Tensor],
        weight_grad: Tensor,
    ) -> Tensor:
        places = self._places(chunk)
        state = self._attend(tables, places, hat, rows, columns)
        weight_grad.addmm_(grad.T.to(weight_grad.dtype), state.x.to(weight_grad.dtype))
        x_grad = torch.mm(grad, weight, out=self.buffers.get("x_grad", weight, *state.x.shape))
        return self._attend_backward(state, x_grad, places, hat, table_grads)

    def _places(self, chunk: Chunk) -> tuple[Tensor, Tensor]:
        """Where each query's 3 x 3 pixels of q and N pixels of k and v are in the tables, (n, 9) and (n, N)."""
        around, patch = (
            chunk.centre.unsqueeze(-1) + table_offsets(chunk.width, grid, chunk.centre.device)
            for grid in ((3, 3), self.grid)
        )
        return around, patch

    def _attend(
        self,
        tables: Sequence[Tensor],
        places: tuple[Tensor, Tensor],
        hat: Tensor,
        rows: Tensor,
        columns: Tensor,
    ) -> "_State":
        """What is returned lies in the buffers until the next call."""
        q_table, k_table, v_table = tables
        n, pixels = places[1].shape
        shape = (n, pixels, self.num_heads, -1)
        around = q_table.index_select(0, places[0].flatten()).view(n, 9, -1)
        q = torch.bmm(hat.unsqueeze(1).to(around.dtype), around).view(n, 1, self.num_heads, -1)
        get = self.buffers.get
        k, v = (
            torch.index_select(table, 0, places[1].flatten(), out=get(name, table, n * pixels, table.shape[1]))
            for name, table in (("k", k_table), ("v", v_table))
        )
        k, v = k.view(shape), v.view(shape)
        product = torch.mul(q, k, out=get("product", k, *k.shape))
        bias = (rows.unsqueeze(2) + columns.unsqueeze(1)).flatten(1, 2)  # n, N, heads
        logits = product.sum(-1, dtype=bias.dtype) / math.sqrt(k.shape[-1]) + bias
        attention = logits.softmax(1)
        x = torch.mul(attention.unsqueeze(-1).to(v.dtype), v, out=get("x", v, *v.shape))
        return _State(q, k, v, attention, x.flatten(1))

    def _attend_backward(
        self,
        state: "_State",
        x_grad: Tensor,
        places: tuple[Tensor, Tensor],
        hat: Tensor,
        table_grads: Sequence[Tensor],
    ) -> Tensor:
        """Add to the gradients of the tables of q, k and v; return that of the logits, (n, N, heads)."""
        q, k, v, attention, _ = state
        x_grad = x_grad.view(v.shape)
        product = self.buffers.get("product", k, *k.shape)
        attention_grad = torch.mul(x_grad, v, out=product).sum(-1, dtype=attention.dtype)
        v_grad = torch.mul(x_grad, attention.unsqueeze(-1).to(v.dtype), out=product)
        _add(table_grads[2], places[1], v_grad)
        mean = (attention * attention_grad).sum(1, keepdim=True)
        logits_grad = attention * (attention_grad - mean)
        scaled = (logits_grad / math.sqrt(k.shape[-1])).unsqueeze(-1).to(k.dtype)  # n, N, heads, 1
        q_grad = torch.mul(scaled, k, out=product).sum(1)  # n, heads, d
        _add(table_grads[1], places[1], torch.mul(scaled, q, out=product))
        _add(table_grads[0], places[0], hat.to(k.dtype).unsqueeze(2) * q_grad.flatten(1).unsqueeze(1))
        return logits_grad


class _State(NamedTuple):
    """q (n, 1, h, d), k and v (n, N, h, d), attention (n, N, h) and the weighted values x (n, N * C)."""

    q: Tensor
    k: Tensor
    v: Tensor
    attention: Tensor
    x: Tensor


def _add(total: Tensor, place: Tensor, gradient: Tensor) -> None:
    total.index_add_(0, place.flatten(), gradient.reshape(place.numel(), -1).to(total.dtype))
