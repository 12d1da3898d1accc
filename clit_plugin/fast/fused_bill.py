"""What the fused kernels cost, by formula: they are launched on tensors that hold no numbers, and only counted.

Per launch, with n queries of N = G_h * G_w pixels, C = heads * depth channels and F features, ``bytes`` are

- of the tables of q, k and v the rows that queries pick, 9 n or N n of C numbers each;
- of v's gradient the rows that are added to, read and written, in float32;
- what queries send back to q and k once a row of the grid, see ``scatter_kernel``;
- of everything else each number once, as of other kernels.

``asked`` is what all programs ask of the caches: W1 once a block of queries, the gradient of the hidden layer once a
block of W1's columns; the rest likewise as often as a program needs it.
"""

from collections.abc import Callable, Sequence
from math import ceil
from typing import Any, NamedTuple

from torch import Tensor

from clit_plugin.fast.bill import Bill, size_of

_ADDED = 8  # bytes of a number that is added to: it is read and written, in float32


class BilledKernels:
    """Stands in for the module ``fused_kernels``: a launch adds to a bill."""

    def __init__(self, bill: Bill) -> None:
        self.bill = bill

    def __getattr__(self, name: str) -> "_Launcher":
        return _Launcher(name, _FORMULAS[name], self.bill)


class _Cost(NamedTuple):
    bytes: float
    asked: float
    flops: float


class _Launcher:
    def __init__(self, name: str, formula: Callable[..., _Cost], bill: Bill) -> None:
        self.name, self.formula, self.bill = name, formula, bill

    def __getitem__(self, grid: tuple[int, ...]) -> Callable[..., None]:
        def launch(*args: Any, **tile: Any) -> None:
            cost = self.formula([arg for arg in args if isinstance(arg, Tensor)], args, tile)
            self.bill.add(self.name, bytes=cost.bytes, asked=cost.asked, flops=cost.flops)

        return launch


def _logits(tensors: Sequence[Tensor], args: Sequence[Any], tile: dict[str, Any]) -> _Cost:
    q, k, *others = tensors
    logits = others[-1]
    n, pixels, c = len(logits), logits.shape[1], k.shape[1]
    memory = n * c * (9 * q.element_size() + pixels * k.element_size()) + _once(others)
    return _Cost(memory, memory, 2.0 * n * c * (9 + pixels))


def _hidden(tensors: Sequence[Tensor], args: Sequence[Any], tile: dict[str, Any]) -> _Cost:
    v, centre, attention, weight, hidden = tensors
    (n, pixels, _), c, features = attention.shape, v.shape[1], hidden.shape[1]
    picked = n * pixels * c * v.element_size()
    tall, wide = ceil(n / tile["block"]), ceil(features / tile["features_tile"])
    asked = wide * (picked + _once([centre, attention])) + tall * size_of(weight) + size_of(hidden)
    return _Cost(picked + _once(tensors[1:]), asked, n * pixels * c * (2.0 * features + 1))


def _values_backward(tensors: Sequence[Tensor], args: Sequence[Any], tile: dict[str, Any]) -> _Cost:
    v, centre, attention, weight, grad, attention_grad, _ = tensors
    (n, pixels, _), c, features = attention.shape, v.shape[1], grad.shape[1]
    memory = n * pixels * c * (v.element_size() + _ADDED) + _once([centre, attention, grad, attention_grad])
    again = pixels * size_of(grad) if features > tile["features_tile"] else 0
    asked = memory + ceil(n / tile["block"]) * size_of(weight) + again
    return _Cost(memory + size_of(weight), asked, n * pixels * c * (2.0 * features + 4))


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
    picked = grid_h * (1 + (grid_w - 1) / tile["block"]) * (size_of(values) + size_of(centre) + size_of(order))
    memory = picked + size_of(shares) + size_of(starts) + 2 * size_of(table_grad)
    return _Cost(memory, memory, 2.0 * grid_h * grid_w * values.numel())


def _weight_grad(tensors: Sequence[Tensor], args: Sequence[Any], tile: dict[str, Any]) -> _Cost:
    v, centre, attention, grad, weight_grad = tensors
    (n, pixels, _), c, features = attention.shape, v.shape[1], grad.shape[1]
    queries = args[7]  # of a program
    picked = n * pixels * c * v.element_size()
    memory = picked + _once([centre, attention, grad]) + 2 * size_of(weight_grad)
    columns, rows = pixels * ceil(c / tile["channels_tile"]), ceil(features / tile["features_tile"])
    asked = rows * (picked + size_of(attention)) + columns * (size_of(grad) + rows * size_of(centre))
    return _Cost(memory, asked + 2 * ceil(n / queries) * size_of(weight_grad), n * pixels * c * (2.0 * features + 1))


def _once(tensors: Sequence[Tensor]) -> int:
    return sum(map(size_of, tensors))


_FORMULAS = {
    "logits_kernel": _logits,
    "hidden_kernel": _hidden,
    "values_backward_kernel": _values_backward,
    "logits_backward_kernel": _logits_backward,
    "weight_grad_kernel": _weight_grad,
    "scatter_kernel": _scatter,
}
