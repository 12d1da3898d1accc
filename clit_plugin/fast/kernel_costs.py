"""Costs of a computation on a GPU, counted without one: kernels, bytes and FLOPs on tensors without data.

Tensors on PyTorch's ``meta`` device have shapes and dtypes only, so that a training step of any size is counted in a
second. The code runs as on an accelerator; a value that the host would have to wait for does not exist there, which
raises ``HostWaitError``.

Bytes are those that eager kernels move between their operands and memory: each operand is read once, each result
written once, of a table the rows that are picked. Caches are left out, in both directions.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from math import ceil, prod
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry

from clit_plugin.fast.meta_functions import HostWaitError, MetaFunctions

DEVICE = torch.device("meta")

# No kernel runs for these, nor for views.
_ALLOCATE = (
    "empty",
    "new_empty",
    "empty_like",
    "empty_strided",
    "new_empty_strided",
    "_unsafe_view",
    "set_",
    "resize_",
)
_OVERWRITE = ("fill_", "zero_", "copy_", "normal_", "uniform_", "bernoulli_")  # what was there is not read
_PICK = ("index_select", "index", "gather", "embedding")
_ADD = ("index_add", "index_add_", "index_put_", "_index_put_impl_", "scatter_add", "scatter_add_", "index_put")
_TOGETHER = 64  # pairs of tensors that a kernel takes where an operator has lists of them
_WAIT = ("_local_scalar_dense", "nonzero", "masked_select", "unique_consecutive", "_unique2", "equal", "is_nonzero")


@dataclass
class KernelCost:
    """Launches, bytes of memory and FLOPs of one kind of kernel.

    requested: Bytes that the programs of a kernel written for this package read from the caches, in total; for
        other kernels unknown and set to ``bytes``.
    """

    calls: int = 0
    bytes: float = 0.0
    flops: float = 0.0
    requested: float = 0.0


@dataclass
class KernelCosts:
    """Costs by kind of kernel, and the number of copies from the host to the device."""

    kernels: dict[str, KernelCost] = field(default_factory=dict)
    copies: int = 0

    def add(
        self, name: str, *, bytes: float, flops: float = 0.0, requested: float | None = None, launches: int = 1
    ) -> None:
        """Add a launch, or several."""
        cost = self.kernels.setdefault(name, KernelCost())
        cost.calls += launches
        cost.bytes += bytes
        cost.flops += flops
        cost.requested += bytes if requested is None else requested

    @property
    def total(self) -> KernelCost:
        """The sum over all kernels."""
        costs = self.kernels.values()
        return KernelCost(
            calls=sum(cost.calls for cost in costs),
            bytes=sum(cost.bytes for cost in costs),
            flops=sum(cost.flops for cost in costs),
            requested=sum(cost.requested for cost in costs),
        )

    def seconds(self, *, bandwidth: float, rate: float, launch: float) -> tuple[float, float]:
        """By the roofline: what memory or arithmetic take, kernel by kernel whichever is longer; and the launches.

        Args:
            bandwidth: Bytes per second.
            rate: FLOPs per second.
            launch: Seconds that the host takes to launch a kernel.
        """
        work = sum(max(cost.bytes / bandwidth, cost.flops / rate) for cost in self.kernels.values())
        return work, self.total.calls * launch


@contextmanager
def count_costs(autocast: torch.dtype | None = None) -> Iterator[KernelCosts]:
    """Count the kernels of what runs inside, on tensors of the device ``meta``.

    Args:
        autocast: Run as under ``torch.autocast`` with this dtype, which knows no such device.
    """
    costs = KernelCosts()
    with MetaFunctions(DEVICE, autocast), _Kernels(costs):
        yield costs


class _Kernels(TorchDispatchMode):
    """Sees every operator below autograd, those of the backward pass too."""

    def __init__(self, costs: KernelCosts) -> None:
        super().__init__()
        self.costs = costs

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        name = func.overloadpacket.__name__
        tensors = [t for t in tree_leaves((args, kwargs)) if isinstance(t, Tensor)]
        on_device = [t for t in tensors if t.device == DEVICE]
        if on_device and name in _WAIT:
            raise HostWaitError(name)
        to_host = name == "copy_" and args[0].device != DEVICE
        to_host |= name == "_to_copy" and torch.device(kwargs.get("device") or DEVICE) != DEVICE
        if on_device and to_host:
            raise HostWaitError(f"{name} to the host")
        out = func(*args, **kwargs)
        results = [t for t in tree_leaves(out) if isinstance(t, Tensor) and t.device == DEVICE]
        self.costs.copies += bool(results) and any(t.device != DEVICE and t.dim() for t in tensors)
        results += [t for t in on_device if name.startswith("_foreach_")]
        if results and not func.is_view and name not in _ALLOCATE:
            moved = _bytes(func, name, args, kwargs, on_device, results)
            launches = ceil(len(args[0]) / _TOGETHER) if name.startswith("_foreach_") else 1
            self.costs.add(name, bytes=moved, flops=_flops(func, args, kwargs, out), launches=launches)
        return out


def size_of(tensor: Tensor) -> int:
    """Bytes of a tensor in memory: what is expanded lies there once."""
    if not tensor.numel():
        return 0
    numbers = prod(n for n, stride in zip(tensor.shape, tensor.stride(), strict=True) if stride)
    return numbers * tensor.element_size()


def _bytes(func: Any, name: str, args: Any, kwargs: Any, on_device: list[Tensor], results: list[Tensor]) -> int:
    if name in _PICK:
        index = sum(size_of(t) for t in on_device if t is not args[0])
        return 2 * sum(map(size_of, results)) + index
    if name in _ADD:
        added = [t for t in on_device if t is not args[0]]
        new = 0 if func._schema.is_mutable else 2 * size_of(args[0])  # a copy of the table comes first
        values = max(added, key=size_of)
        return new + 2 * size_of(values) + sum(map(size_of, added))  # read the table's rows and write them
    mutated = {
        id(t)
        for argument, value in zip(func._schema.arguments, (*args, *kwargs.values()), strict=False)
        if argument.alias_info is not None and argument.alias_info.is_write
        for t in tree_leaves(value)
    }
    once = {id(t): t for t in on_device}.values()
    read = sum(size_of(t) for t in once if not (id(t) in mutated and name in _OVERWRITE))
    written = {id(t): t for t in [*results, *(t for t in once if id(t) in mutated)]}.values()
    return read + sum(map(size_of, written))


def _flops(func: Any, args: Any, kwargs: Any, out: Any) -> int:
    name = func._schema.name.removesuffix("_")  # a product in place costs as much
    count = flop_registry.get(getattr(torch.ops.aten, name.split("::")[1], None))
    return 0 if count is None else int(count(*args, **kwargs, out_val=out))
