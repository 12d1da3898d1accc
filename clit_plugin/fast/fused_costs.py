"""Costs of the fused kernels by formula: on the device ``meta`` they are only counted, not run.

Per launch, with n queries of N = G_h * G_w pixels, C = heads * depth channels and F features, ``bytes`` are

- of the tables of q, k and v the rows that queries pick, 9 n or N n of C numbers each;
- of v's gradient the rows that atomics add to, read and written, in float32, see ``values_backward_kernel``;
- of what is summed pixel by pixel, see ``scatter_kernel`` and ``values_by_pixel_kernel``, the sums once, and what
  queries send once a row of the grid, the gradient of the hidden layer also once a head, for blocks of pixels that
  share the queries evenly;
- of everything else each number once, as of other kernels.

``requested`` is what all programs read from the caches: W1 once per block of queries, the gradient of the hidden layer
once per block of W1's columns; the rest likewise as often as a program needs it. ``flops`` includes the products with
the zeros of a matrix that says which query sees which pixel.
"""

from collections.abc import Callable, Sequence
from math import ceil
from typing import Any, NamedTuple

from torch import Tensor

from clit_plugin.fast.kernel_costs import KernelCosts, size_of

_ADDED = 8  # bytes of a number that is added to: it is read and written, in float32


class CostedKernels:
    """Stands in for the module ``fused_kernels``: a launch only adds its costs."""

    def __init__(self, costs: KernelCosts) -> None:
        self.costs = costs

    def __getattr__(self, name: str) -> "_Launcher":
        return _Launcher(name, _FORMULAS[name], self.costs)


class _Cost(NamedTuple):
    bytes: float
    requested: float
    flops: float


class _Launcher:
    def __init__(self, name: str, formula: Callable[..., _Cost], costs: KernelCosts) -> None:
        self.name, self.formula, self.costs = name, formula, costs

    def __getitem__(self, grid: tuple[int, ...]) -> Callable[..., None]:
        def launch(*args: Any, **tile: Any) -> None:
            cost = self.formula([arg for arg in args if isinstance(arg, Tensor)], args, tile)
            self.costs.add(self.name, bytes=cost.bytes, requested=cost.requested, flops=cost.flops)

        return launch


def _logits(tensors: Sequence[Tensor], args: Sequence[Any], tile: dict[str, Any]) -> _Cost:
    q, k, *others = tensors
    rows, columns, logits = others[-3:]
    n, pixels, c = len(logits), logits.shape[1], k.shape[1]
    memory = n * c * (9 * q.element_size() + pixels * k.element_size()) + _once(others)
    again = (columns.shape[1] - 1) * size_of(rows) + (rows.shape[1] - 1) * size_of(columns)
    return _Cost(memory, memory + again, 2.0 * n * c * (9 + pixels))


def _hidden(tensors: Sequence[Tensor], args: Sequence[Any], tile: dict[str, Any]) -> _Cost:
    v, centre, attention, weight, hidden = tensors
    (n, pixels, _), c, features = attention.shape, v.shape[1], hidden.shape[1]
    picked = n * pixels * c * v.element_size()
    tall, wide = ceil(n / tile["block"]), ceil(features / tile["features_tile"])
    requested = wide * (picked + _once([centre, attention])) + tall * size_of(weight) + size_of(hidden)
    return _Cost(picked + _once(tensors[1:]), requested, n * pixels * c * (2.0 * features + 1))


def _values_backward(tensors: Sequence[Tensor], args: Sequence[Any], tile: dict[str, Any]) -> _Cost:
    v, centre, attention, weight, grad, attention_grad, _ = tensors
    (n, pixels, _), c, features = attention.shape, v.shape[1], grad.shape[1]
    memory = n * pixels * c * (v.element_size() + _ADDED) + _once([centre, attention, grad, attention_grad])
    again = pixels * size_of(grad) if features > tile["features_tile"] else 0
    requested = memory + ceil(n / tile["block"]) * size_of(weight) + again
    return _Cost(memory + size_of(weight), requested, n * pixels * c * (2.0 * features + 4))


def _values_by_pixel(tensors: Sequence[Tensor], args: Sequence[Any], tile: dict[str, Any]) -> _Cost:
    v, centre, order, starts, attention, weight, grad, attention_grad, v_grad = tensors
    (n, pixels, heads), c, features = attention.shape, v.shape[1], grad.shape[1]
    grid_h, grid_w = args[-3:-1]
    stretch = tile["block"] + grid_w - 1  # pixels whose queries a row of a block's grids sees
    often = grid_h * stretch / tile["block"]
    incoming = heads * often * size_of(grad)
    picked = n * pixels * c * v.element_size() + incoming + heads * often * _once([centre, order])
    memory = picked + _once([starts, attention, attention_grad, weight]) + 2 * size_of(v_grad)
    blocks, seen = ceil(len(v) / tile["block"]), n * stretch / len(v)
    requested = memory + (blocks * ceil(seen / tile["queries_tile"]) - 1) * size_of(weight)
    if features > tile["features_tile"]:
        requested += (grid_w - 1) * incoming
    flops = n * pixels * c * (2.0 * features + 4) + 2.0 * tile["block"] * grid_w * often * n * c
    return _Cost(memory, requested, flops)


def _logits_backward(tensors: Sequence[Tensor], args: Sequence[Any], tile: dict[str, Any]) -> _Cost:
    q, k, centre, hat, logits_grad, *written = tensors
    n, pixels, c = len(logits_grad), logits_grad.shape[1], k.shape[1]
    memory = n * c * (9 * q.element_size() + pixels * k.element_size())
    memory += _once([centre, hat, logits_grad, *written])
    return _Cost(memory, memory, 2.0 * n * c * (9 + pixels))


def _scatter(tensors: Sequence[Tensor], args: Sequence[Any], tile: dict[str, Any]) -> _Cost:
    shares, values, centre, order, starts, table_grad = tensors
    grid_h, grid_w = args[-2:]
    # A row of a block's grids sees the queries of grid_w - 1 pixels more than the block has.
    often = grid_h * (1 + (grid_w - 1) / tile["block"])
    memory = often * _once([values, centre, order]) + _once([shares, starts]) + 2 * size_of(table_grad)
    return _Cost(memory, memory, 2.0 * tile["block"] * often * values.numel())


def _weight_grad(tensors: Sequence[Tensor], args: Sequence[Any], tile: dict[str, Any]) -> _Cost:
    v, centre, attention, grad, weight_grad = tensors
    (n, pixels, _), c, features = attention.shape, v.shape[1], grad.shape[1]
    queries = args[7]  # of a program
    picked = n * pixels * c * v.element_size()
    memory = picked + _once([centre, attention, grad]) + 2 * size_of(weight_grad)
    columns, rows = pixels * ceil(c / tile["channels_tile"]), ceil(features / tile["features_tile"])
    requested = rows * (picked + size_of(attention)) + columns * (size_of(grad) + rows * size_of(centre))
    return _Cost(
        memory, requested + 2 * ceil(n / queries) * size_of(weight_grad), n * pixels * c * (2.0 * features + 1)
    )


def _grid_attention(tensors: Sequence[Tensor], args: Sequence[Any], tile: dict[str, Any]) -> _Cost:
    q, k, *others = tensors
    n, each, heads, pixels = others[-1].shape
    c, parts = heads * k.shape[-1], ceil(each / tile["block"])
    memory = parts * n * c * (9 * q.element_size() + pixels * k.element_size()) + _once(others)
    again = n * each * (pixels - 1) * heads * 2 * others[-2].element_size()  # bias, of which the tables are small
    return _Cost(memory, memory + again, 2.0 * n * each * c * (9 + pixels))


def _grid_hidden(tensors: Sequence[Tensor], args: Sequence[Any], tile: dict[str, Any]) -> _Cost:
    v, centre, attention, weight, _, hidden = tensors
    (n, each, heads, pixels), depth, features = attention.shape, v.shape[-1], hidden.shape[-1]
    picked = n * heads * pixels * depth * v.element_size()
    rows, wide = ceil(n / tile["block"]), ceil(features / tile["features_tile"])
    parts = ceil(each / tile["queries_tile"])
    requested = wide * (parts * picked + size_of(attention)) + rows * parts * size_of(weight) + size_of(hidden)
    flops = 2.0 * n * heads * pixels * features * (parts * depth + each)
    return _Cost(parts * picked + _once(tensors[1:]), requested, flops)


def _once(tensors: Sequence[Tensor]) -> int:
    return sum(map(size_of, tensors))


_FORMULAS = {
    "grid_attention_kernel": _grid_attention,
    "grid_hidden_kernel": _grid_hidden,
    "logits_kernel": _logits,
    "hidden_kernel": _hidden,
    "values_backward_kernel": _values_backward,
    "values_by_pixel_kernel": _values_by_pixel,
    "logits_backward_kernel": _logits_backward,
    "weight_grad_kernel": _weight_grad,
    "scatter_kernel": _scatter,
}
