"""The fused kernels on CPU tensors; test_fused_attention.py runs this file with TRITON_INTERPRET=1."""

import math
import os

import numpy as np
import pytest
import torch

if os.environ.get("TRITON_INTERPRET") != "1":
    pytest.skip("runs in Triton's interpreter, see test_fused_attention.py", allow_module_level=True)

from clit_plugin.archs.clit_arch import CLIT
from clit_plugin.fast import fused_kernels
from clit_plugin.fast.arithmetic import Totals
from clit_plugin.fast.fused_attention import CROWDED, FusedAttention
from clit_plugin.fast.fused_check import Batch, compute, largest_differences, make_batch
from clit_plugin.fast.fused_costs import CostedKernels
from clit_plugin.fast.fused_tiles import Shapes
from clit_plugin.fast.kernel_costs import KernelCosts
from clit_plugin.fast.torch_arithmetic import TorchArithmetic

CPU = torch.device("cpu")
SHAPES = {
    "four heads of 8": Shapes(4, 8, 20, (3, 3)),
    "three heads of 5": Shapes(3, 5, 17, (1, 5)),
    "a head of 48, no neighbours": Shapes(1, 48, 24, (1, 1)),
    "two heads of 96": Shapes(2, 96, 33, (3, 1)),
    "eight heads of 2": Shapes(8, 2, 16, (1, 3)),
    "the paper's heads": Shapes(8, 32, 256, (1, 1)),
    "a large grid": Shapes(1, 8, 16, (1, 25)),
    "a hidden layer in two tiles": Shapes(1, 16, 300, (1, 3)),
}
ACCURACY = {torch.float32: 1e-5, torch.float16: 2e-3}


# How v's gradient is summed, whatever the number of queries; of heads of 96 channels always by atomics.
BY_ATOMICS, BY_PIXEL = math.inf, 0.0
ALSO_BY_ATOMICS = ("four heads of 8", "three heads of 5", "a hidden layer in two tiles")
SUMS = pytest.mark.parametrize("crowded", [BY_ATOMICS, BY_PIXEL], ids=["atomics", "by pixel"])


def fused_for(shapes: Shapes, dtype: torch.dtype, crowded: float, large: bool = True) -> FusedAttention:
    return FusedAttention(shapes, dtype, tf32=False, large=large, crowded=crowded)


@pytest.mark.parametrize("dtype", ACCURACY)
@pytest.mark.parametrize(
    ("shapes", "crowded"),
    [
        *(pytest.param(shapes, BY_PIXEL, id=name) for name, shapes in SHAPES.items()),
        *(pytest.param(SHAPES[name], BY_ATOMICS, id=f"{name}, by atomics") for name in ALSO_BY_ATOMICS),
    ],
)
def test_kernels_agree_with_torch(shapes, dtype, crowded):
    fused = fused_for(shapes, dtype, crowded, large=dtype == torch.float16)
    differences = largest_differences(fused, shapes, dtype, CPU, num_queries=35)
    assert max(differences.values()) < ACCURACY[dtype], differences


@SUMS
def test_crowded_and_empty_pixels_agree_with_torch(crowded):
    shapes = Shapes(2, 8, 16, (3, 1))
    batch = make_batch(shapes, torch.float32, CPU, 40)
    centre = batch.chunk.centre.clone()
    centre[5:] = centre[0]  # nearly all queries in one pixel, most pixels without any
    assert_agree(shapes, batch._replace(chunk=batch.chunk._replace(centre=centre)), crowded)


@SUMS
def test_a_grid_at_the_ends_of_the_table_agrees_with_torch(crowded):
    shapes = Shapes(2, 8, 16, (3, 3))
    batch = make_batch(shapes, torch.float32, CPU, 20)
    width, pixels = batch.chunk.width, len(batch.tables.q)
    centre = torch.tensor([width + 1, pixels - width - 2] * 10)
    assert_agree(shapes, batch._replace(chunk=batch.chunk._replace(centre=centre)), crowded)


BY_QUERY = ("centre", "hat", "rows", "columns")


def totals_of(batch: Batch) -> Totals:
    return Totals(*(torch.zeros_like(tensor, dtype=torch.float32) for tensor in (*batch.tables, batch.weight)))


def test_chunks_add_up_pixel_by_pixel():
    shapes = Shapes(2, 8, 16, (3, 1))
    fused = fused_for(shapes, torch.float32, BY_PIXEL)
    batch = make_batch(shapes, torch.float32, CPU, 40)
    whole, parts = compute(fused, batch)["gradient of v"], totals_of(batch)
    for part in (slice(0, 15), slice(15, 40)):
        some = batch.chunk._replace(**{name: getattr(batch.chunk, name)[part] for name in BY_QUERY})
        fused.backward(batch.tables, some, batch.weight, batch.grad[part], parts, None)
    torch.testing.assert_close(parts.v, whole, rtol=0, atol=1e-5 * float(whole.abs().max()))


SPREAD = ("values_by_pixel", "scatter")  # whose costs assume evenly spread queries, up to the border


@pytest.mark.parametrize(("crowded", "kernel"), [(BY_ATOMICS, "values_backward"), (BY_PIXEL, "values_by_pixel")])
def test_programs_request_the_bytes_that_are_counted(monkeypatch, crowded, kernel):
    """Counted address by address; queries have a pixel each, so that no load of theirs has an address twice."""
    shapes = Shapes(2, 8, 16, (3, 3))
    batch = make_batch(shapes, torch.float32, CPU, 40)
    rows, columns = torch.arange(6).unsqueeze(1), torch.arange(7)
    places = ((rows + 1) * batch.chunk.width + columns + 1).flatten()
    batch = batch._replace(chunk=batch.chunk._replace(centre=places.flip(0)[:40]))
    costs, touched = KernelCosts(), Touched(monkeypatch)
    for kernels in (touched, CostedKernels(costs)):
        fused = FusedAttention(shapes, torch.float32, tf32=False, large=True, crowded=crowded, kernels=kernels)
        small = {"block": 16, "queries_tile": 32}
        fused.tiles = fused.tiles._replace(**{n: {**getattr(fused.tiles, n), **small} for n in SPREAD})
        compute(fused, batch)
    requested = {name: line.requested for name, line in costs.kernels.items()}
    assert kernel + "_kernel" in requested
    for name, expected in requested.items():
        near = 0.1 if name.removesuffix("_kernel") in SPREAD else 0.0
        assert touched.bytes[name] == pytest.approx(expected, rel=near), name


class Touched:
    """The kernels' module; counts the bytes that their programs load and store, those of an atomic sum twice."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        from triton.runtime.interpreter import InterpreterBuilder

        self.bytes: dict[str, int] = {}
        for operation, mask, times in (
            ("create_masked_load", 0, 1),
            ("create_masked_store", 1, 1),
            ("create_atomic_rmw", 2, 2),
        ):
            original = getattr(InterpreterBuilder, operation)
            monkeypatch.setattr(InterpreterBuilder, operation, self._counting(original, mask, times))

    def _counting(self, original, mask: int, times: int):
        def counting(builder, *args):
            pointers = args[1] if times == 2 else args[0]
            addresses = np.unique(pointers.data[args[mask + 1].data.astype(bool)])
            self.bytes[self.running] += times * len(addresses) * pointers.get_element_ty().primitive_bitwidth // 8
            return original(builder, *args)

        return counting

    def __getattr__(self, name: str):
        return _Running(self, name)


class _Running:
    def __init__(self, touched: Touched, name: str) -> None:
        self.touched, self.name = touched, name

    def __getitem__(self, grid):
        self.touched.running = self.name
        self.touched.bytes.setdefault(self.name, 0)
        return getattr(fused_kernels, self.name)[grid]


def assert_agree(shapes: Shapes, batch: Batch, crowded: float) -> None:
    expected = compute(TorchArithmetic(grid=shapes.grid, num_heads=shapes.heads, weight=batch.weight), batch)
    actual = compute(fused_for(shapes, torch.float32, crowded, large=False), batch)
    for name, value in expected.items():
        torch.testing.assert_close(actual[name], value, rtol=0, atol=1e-5 * float(value.abs().max()), msg=name)


def test_a_networks_colours_and_gradients_equal_those_of_torch(monkeypatch):
    encoder = {"type": "EDSRBaseline", "num_feat": 8, "num_block": 1}
    net = CLIT(encoder=encoder, dim=12, num_heads=3, local_grid=[3, 1], decoder_hidden=[16, 16], num_branches=2)
    coord = torch.rand(2, 23, 2) * 2 - 1
    inputs = (torch.rand(2, 3, 4, 5), coord, torch.full((2, 2), 0.1), [(7, 9)])
    results = []
    for fused in (None, fused_for(Shapes(3, 4, 16, (3, 1)), torch.float32, CROWDED)):
        monkeypatch.setattr("clit_plugin.fast.sample.fused_arithmetic", lambda *_, fused=fused: fused)
        net.zero_grad()
        output = net(*inputs)
        output.square().mean().backward()
        results.append([output.detach(), *(p.grad.clone() for n, p in net.named_parameters() if n != "pos_bias.bias")])
    for expected, actual in zip(*results, strict=True):
        torch.testing.assert_close(actual, expected, rtol=0, atol=2e-5 * float(expected.abs().max()))
