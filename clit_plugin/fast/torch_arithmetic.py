"""Local attention and the decoder's first layer by torch's own operations, for a chunk of queries."""

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from clit_plugin.fast.arithmetic import Chunk, Totals
from clit_plugin.fast.buffers import Buffers
from clit_plugin.fast.tile_tables import Tables, grid_places
from clit_plugin.ops.coordinates import Size


class TorchArithmetic:
    """An ``Arithmetic`` for any device and dtype; each query's arithmetic is that of the reference path.

    Args:
        grid: (G_h, G_w), odd.
        num_heads: Attention heads.
        weight: W1, (F, N * C); its size decides how many queries make a chunk.
    """

    def __init__(self, *, grid: Size, num_heads: int, weight: Tensor) -> None:
        self.grid, self.num_heads = grid, num_heads
        self.buffers = Buffers()
        # There are a handful of (N, C) tensors a query. A CPU's cache holds them for a few hundred, as many as the
        # products need for their full rate; an accelerator wants more.
        budget = 2**24 if weight.device.type == "cpu" else 2**28
        self.longest = max(1, budget // (weight.shape[1] * weight.element_size()))

    def forward(self, tables: Tables, chunk: Chunk, weight: Tensor) -> tuple[Tensor, None]:
        return F.linear(self._attend(tables, chunk).x, weight), None

    def backward(
        self, tables: Tables, chunk: Chunk, weight: Tensor, grad: Tensor, totals: Totals, kept: Tensor | None = None
    ) -> Tensor:
        state = self._attend(tables, chunk)
        totals.weight.addmm_(grad.T.to(totals.weight.dtype), state.x.to(totals.weight.dtype))
        x_grad = torch.mm(grad, weight, out=self.buffers.get("x_grad", weight, *state.x.shape))
        return self._attend_backward(state, x_grad, chunk.hat, totals)

    def _attend(self, tables: Tables, chunk: Chunk) -> "_State":
        """What is returned lies in the buffers until the next call."""
        around = grid_places(chunk.centre, chunk.width, (3, 3))  # n, 9
        patch = grid_places(chunk.centre, chunk.width, self.grid)  # n, N
        n, pixels = patch.shape
        shape = (n, pixels, self.num_heads, -1)
        neighbours = tables.q.index_select(0, around.flatten()).view(n, 9, -1)
        q = torch.bmm(chunk.hat.unsqueeze(1).to(neighbours.dtype), neighbours).view(n, 1, self.num_heads, -1)
        get = self.buffers.get
        k, v = (
            torch.index_select(table, 0, patch.flatten(), out=get(name, table, n * pixels, table.shape[1]))
            for name, table in (("k", tables.k), ("v", tables.v))
        )
        k, v = k.view(shape), v.view(shape)
        product = torch.mul(q, k, out=get("product", k, *k.shape))
        bias = (chunk.rows.unsqueeze(2) + chunk.columns.unsqueeze(1)).flatten(1, 2)  # n, N, heads
        logits = product.sum(-1, dtype=bias.dtype) / math.sqrt(k.shape[-1]) + bias
        attention = logits.softmax(1)
        x = torch.mul(attention.unsqueeze(-1).to(v.dtype), v, out=get("x", v, *v.shape))
        return _State(around, patch, q, k, v, attention, x.flatten(1))

    def _attend_backward(self, state: "_State", x_grad: Tensor, hat: Tensor, totals: Totals) -> Tensor:
        """Add to the gradients of the tables; return that of the logits, (n, N, heads)."""
        around, patch, q, k, v, attention, _ = state
        x_grad = x_grad.view(v.shape)
        product = self.buffers.get("product", k, *k.shape)
        attention_grad = torch.mul(x_grad, v, out=product).sum(-1, dtype=attention.dtype)
        _add(totals.v, patch, torch.mul(x_grad, attention.unsqueeze(-1).to(v.dtype), out=product))
        mean = (attention * attention_grad).sum(1, keepdim=True)
        logits_grad = attention * (attention_grad - mean)
        scaled = (logits_grad / math.sqrt(k.shape[-1])).unsqueeze(-1).to(k.dtype)  # n, N, heads, 1
        q_grad = torch.mul(scaled, k, out=product).sum(1)  # n, heads, d
        _add(totals.k, patch, torch.mul(scaled, q, out=product))
        _add(totals.q, around, hat.to(k.dtype).unsqueeze(2) * q_grad.flatten(1).unsqueeze(1))
        return logits_grad


class _State(NamedTuple):
    """What the backward pass needs again.

    Places in the tables of each query's 3 x 3 pixels of q (n, 9) and of its N pixels of k and v (n, N); q (n, 1, h, d),
    k and v (n, N, h, d), attention (n, N, h) and the weighted values x (n, N * C).
    """

    around: Tensor
    patch: Tensor
    q: Tensor
    k: Tensor
    v: Tensor
    attention: Tensor
    x: Tensor


def _add(total: Tensor, place: Tensor, gradient: Tensor) -> None:
    total.index_add_(0, place.flatten(), gradient.reshape(place.numel(), -1).to(total.dtype))
