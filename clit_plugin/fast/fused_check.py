"""A small batch by the fused kernels and by torch's operations."""

from typing import NamedTuple

import torch
from torch import Tensor

from clit_plugin.fast.arithmetic import Arithmetic, Chunk, Totals
from clit_plugin.fast.fused_tiles import Shapes
from clit_plugin.fast.tile_tables import Tables
from clit_plugin.fast.torch_arithmetic import TorchArithmetic

_TOLERANCE = {torch.float32: 2e-5, torch.float16: 5e-3, torch.bfloat16: 3e-2}
_TF32_TOLERANCE = 5e-3


class Batch(NamedTuple):
    """Arguments of an ``Arithmetic``."""

    tables: Tables
    chunk: Chunk
    weight: Tensor
    grad: Tensor


def tolerance(dtype: torch.dtype, *, tf32: bool) -> float:
    """Largest difference from torch's operations in float32, relative to each result's largest value."""
    return _TF32_TOLERANCE if tf32 and dtype == torch.float32 else _TOLERANCE[dtype]


def largest_differences(
    fused: Arithmetic, shapes: Shapes, dtype: torch.dtype, device: torch.device, num_queries: int = 150
) -> dict[str, float]:
    """By result, the largest difference between ``fused`` and torch's operations in float32 on the same numbers.

    Relative to the result's largest value; NaN where there is one. No global random state is used.
    """
    batch = make_batch(shapes, dtype, device, num_queries)
    exact = batch._replace(
        tables=Tables(*(table.float() for table in batch.tables)), weight=batch.weight.float(), grad=batch.grad.float()
    )
    torchs = TorchArithmetic(grid=shapes.grid, num_heads=shapes.heads, weight=exact.weight)
    results = compute(fused, batch), compute(torchs, exact)
    return {
        name: float((actual.float() - expected).abs().max() / expected.abs().max().clamp_min(1e-6))
        for (name, actual), expected in zip(results[0].items(), results[1].values(), strict=True)
    }


def compute(arithmetic: Arithmetic, batch: Batch) -> dict[str, Tensor]:
    """The hidden layer and the gradients of everything that it depends on."""
    zeros = [torch.zeros_like(tensor, dtype=torch.float32) for tensor in (*batch.tables, batch.weight)]
    totals = Totals(*zeros)
    hidden, kept = arithmetic.forward(batch.tables, batch.chunk, batch.weight)
    logits_grad = arithmetic.backward(batch.tables, batch.chunk, batch.weight, batch.grad, totals, kept)
    return {
        "result": hidden,
        "gradient of the logits": logits_grad,
        "gradient of q": totals.q,
        "gradient of k": totals.k,
        "gradient of v": totals.v,
        "gradient of W1": totals.weight,
    }


def make_batch(shapes: Shapes, dtype: torch.dtype, device: torch.device, num_queries: int) -> Batch:
    """Random numbers; queries in all pixels of a small map, several in some."""
    generator = torch.Generator(device).manual_seed(0)

    def normal(*size: int) -> Tensor:
        return torch.randn(*size, device=device, generator=generator)

    heads, (grid_h, grid_w), c = shapes.heads, shapes.grid, shapes.channels
    halo_h, halo_w = max(1, grid_h // 2), max(1, grid_w // 2)
    height, width = 6 + 2 * halo_h, 7 + 2 * halo_w
    tables = Tables(*(normal(height * width, c).to(dtype) for _ in range(3)))
    row, column = (
        torch.randint(n, (num_queries,), device=device, generator=generator) + halo
        for n, halo in ((6, halo_h), (7, halo_w))
    )
    hat = torch.rand(num_queries, 9, device=device, generator=generator)
    rows, columns = normal(num_queries, grid_h, heads), normal(num_queries, grid_w, heads)
    weight = normal(shapes.features, shapes.pixels * c) / (shapes.pixels * c) ** 0.5
    grad = normal(num_queries, shapes.features)
    chunk = Chunk(row * width + column, width, hat, rows, columns)
    return Batch(tables, chunk, weight.to(dtype), grad.to(dtype))
