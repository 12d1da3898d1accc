"""Local attention and the decoder's first layer for sampled queries, in chunks, with their gradient.

What a query attends to, (N, C) keys, values and weighted values, is gathered, used and dropped chunk by chunk, and
made again in the backward pass; only the maps and the (Q, F) result live longer. Each query's arithmetic is that of
the plain path.
"""

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
        tiles: Maps of q, k and v, (B, ., ., 3 C).
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
        budget = 2**25 if device.type == "cpu" else 2**30
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
        queries = inside.flatten().nonzero().squeeze(1)
        height, width = (
            length + 2 * halo
            for length, halo in zip(
                (window.bottom - window.top, window.right - window.left), self.tiles.halo, strict=True
            )
        )
        centre = table_index(self.tiles, window, rows, columns).flatten()[queries]
        centre = (centre + (queries // n_query) * (height * width)).unsqueeze(-1)
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
            q, kv = _tables(plan.tiles.read(sources, window))
            for chunk in chunks:
                around, patch = _gather(q, chunk.around), _gather(kv, chunk.patch)
                part = chunk.queries
                x = _attended(around, patch, hat[part], rows[part], columns[part], plan.num_heads)
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
            with torch.enable_grad(), plan.casting():
                leaves = [source.detach().requires_grad_() for source in sources]
                maps = plan.tiles.read(leaves, window)
            q, kv = _tables(maps.detach())
            q_grad, kv_grad = torch.zeros_like(q), torch.zeros_like(kv)
            for chunk in chunks:
                part = chunk.queries
                inputs = [
                    tensor.detach().requires_grad_()
                    for tensor in (_gather(q, chunk.around), _gather(kv, chunk.patch), rows[part], columns[part])
                ]
                with torch.enable_grad(), plan.casting():
                    x = _attended(inputs[0], inputs[1], hat[part], inputs[2], inputs[3], plan.num_heads)
                incoming = grad[part]
                weight_grad += (incoming.T @ x.detach().to(incoming.dtype)).to(weight.dtype)
                x_grad = (incoming @ weight.to(incoming.dtype)).to(x.dtype)
                around_grad, patch_grad, row_grad[part], column_grad[part] = torch.autograd.grad(x, inputs, x_grad)
                q_grad.index_add_(0, chunk.around.flatten(), around_grad.flatten(0, 1))
                kv_grad.index_add_(0, chunk.patch.flatten(), patch_grad.flatten(0, 1))
            maps_grad = torch.cat([q_grad, kv_grad], dim=1).view(maps.shape)
            for total, part_grad in zip(source_grads, torch.autograd.grad(maps, leaves, maps_grad), strict=True):
                total += part_grad
        return None, None, row_grad, column_grad, weight_grad, *source_grads


def _attended(around: Tensor, patch: Tensor, hat: Tensor, rows: Tensor, columns: Tensor, num_heads: int) -> Tensor:
    """Weighted values (n, N * C) of n queries.

    Args:
        around: Map of q at the centre's 3 x 3 pixels, (n, 9, C).
        patch: Maps of k and v at the pixels of the local grid, (n, N, 2 C).
        hat: Bilinear weights of ``around``, (n, 1, 9).
        rows: Positional bias of the rows, (n, G_h, heads).
        columns: Positional bias of the columns, (n, G_w, heads).
        num_heads: Attention heads.
    """
    q = torch.bmm(hat.to(around.dtype), around).unsqueeze(0)  # 1, n, 1, C
    k, v = patch.chunk(2, dim=-1)
    bias = (rows.unsqueeze(2) + columns.unsqueeze(1)).flatten(1, 2)  # n, N, heads
    weights = attention_weights(q.squeeze(2), k.unsqueeze(0), bias.unsqueeze(0))
    return weight_values(weights.to(v.dtype), v.unsqueeze(0)).flatten(2).squeeze(0)


def _tables(maps: Tensor) -> tuple[Tensor, Tensor]:
    """Rows of pixels, of q (., C) and of k and v together (., 2 C)."""
    pixels = maps.flatten(0, 2)
    c = pixels.shape[1] // 3
    return pixels[:, :c].contiguous(), pixels[:, c:].contiguous()


def _gather(table: Tensor, index: Tensor) -> Tensor:
    """(n, K) -> (n, K, channels)."""
    return table.index_select(0, index.flatten()).view(*index.shape, -1)
