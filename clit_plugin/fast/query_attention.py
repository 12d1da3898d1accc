"""Local attention and the decoder's first layer for sampled queries, in chunks, with their gradient.

What a query attends to, (N, C) keys, values and weighted values, is gathered, used and dropped chunk by chunk, and
computed again in the backward pass; only the maps and the (Q, F) result are kept.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from clit_plugin.fast.arithmetic import Arithmetic, Chunk, Totals
from clit_plugin.fast.axis import BiasedAxis
from clit_plugin.fast.no_autocast import no_autocast
from clit_plugin.fast.query_windows import Picked, query_windows
from clit_plugin.fast.tile_tables import MapTiles, Tables, Window, read_tables
from clit_plugin.fast.torch_arithmetic import TorchArithmetic
from clit_plugin.ops.coordinates import Size


def attend_queries(
    tiles: MapTiles, axes: tuple[BiasedAxis, BiasedAxis], weight: Tensor, arithmetic: Arithmetic | None = None
) -> Tensor:
    """W1 x for every query, where x are its grid's values, weighted by attention (eq. 7).

    Args:
        tiles: Maps of q, k and v, (B, ., ., C).
        axes: Rows and columns of the queries, (B, Q), with their positional bias, (B, Q, G, heads).
        weight: W1, (F, N * C) with N = G_h * G_w.
        arithmetic: How a chunk is computed, by default by torch's operations.

    Returns:
        (B, Q, F).
    """
    rows, columns = axes
    b, n_query, grid_h, num_heads = rows.bias.shape
    grid = (grid_h, columns.bias.shape[2])
    if arithmetic is None:
        arithmetic = TorchArithmetic(grid=grid, num_heads=num_heads, weight=weight)
    index = (rows.geometry.index, columns.geometry.index)
    plan = _Plan(tiles, list(query_windows(tiles, index, arithmetic.longest)), grid, arithmetic)
    hat = rows.geometry.hat.unsqueeze(-1) * columns.geometry.hat.unsqueeze(-2)
    hat = hat.view(b * n_query, 9).to(weight.dtype)
    hidden = _Attend.apply(plan, hat, rows.bias.flatten(0, 1), columns.bias.flatten(0, 1), weight, *tiles.sources)
    return hidden.view(b, n_query, -1)


@dataclass(frozen=True)
class _Plan:
    """Which queries are computed together, and how."""

    tiles: MapTiles
    windows: list[tuple[Window, list[Picked]]]
    grid: Size
    arithmetic: Arithmetic


class _Queries(NamedTuple):
    """What differs from query to query, see ``Chunk``, for all of them."""

    hat: Tensor
    rows: Tensor
    columns: Tensor

    def pick(self, picked: Picked) -> Chunk:
        return Chunk(picked.centre, picked.width, *(each[picked.queries] for each in self))


class _Attend(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, plan: _Plan, hat: Tensor, rows: Tensor, columns: Tensor, weight: Tensor, *sources: Tensor
    ) -> Tensor:
        ctx.plan, ctx.kept = plan, []
        cast = weight.to(sources[0].dtype)
        ctx.save_for_backward(hat, rows, columns, weight, cast, *sources)
        queries = _Queries(hat, rows, columns)
        with no_autocast(weight.device):  # dtypes are chosen here
            hidden = cast.new_empty(len(hat), len(weight))
            for window, chunks in plan.windows:
                tables = read_tables(plan.tiles, sources, window)
                for picked in chunks:
                    some, kept = plan.arithmetic.forward(tables, queries.pick(picked), cast)
                    ctx.kept.append(kept)
                    if len(some) == len(hidden):
                        hidden = some
                    else:
                        hidden[picked.queries] = some
        return hidden

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        plan: _Plan = ctx.plan
        hat, rows, columns, weight, cast, *sources = ctx.saved_tensors
        queries = _Queries(hat, rows, columns)
        weight_grad = torch.zeros_like(weight)
        row_grad, column_grad = torch.empty_like(rows), torch.empty_like(columns)
        kept = iter(ctx.kept)
        only = len(plan.tiles.windows()) == 1
        source_grads = [] if only else [torch.zeros_like(source) for source in sources]
        for window, chunks in plan.windows:
            parts = [part.detach().requires_grad_() for part in plan.tiles.select(sources, window)]
            with torch.enable_grad():
                maps = plan.tiles.read(parts, window)
            tables = Tables(*(tile.detach().flatten(0, 2) for tile in maps))
            table_grads = torch.zeros(3, *tables.q.shape, device=weight.device, dtype=weight.dtype)
            totals = Totals(table_grads[0], table_grads[1], table_grads[2], weight_grad)
            for picked in chunks:
                part = picked.queries
                logits_grad = plan.arithmetic.backward(
                    tables, queries.pick(picked), cast, grad[part], totals, next(kept)
                )
                bias_grad = logits_grad.unflatten(1, plan.grid)  # n, G_h, G_w, heads
                sums = bias_grad.sum(2), bias_grad.sum(1)
                if len(bias_grad) == len(rows):
                    row_grad, column_grad = sums
                else:
                    row_grad[part], column_grad[part] = sums
            tile_grads = list(table_grads.to(maps[0].dtype).view(3, *maps[0].shape))
            part_grads = torch.autograd.grad(maps, parts, tile_grads)
            if only:
                source_grads = list(part_grads)
                break
            for source_grad, part_grad in zip(plan.tiles.select(source_grads, window), part_grads, strict=True):
                source_grad += part_grad
        return None, None, row_grad, column_grad, weight_grad, *source_grads
