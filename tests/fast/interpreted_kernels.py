"""The fused kernels on CPU tensors; test_fused_attention.py runs this file with TRITON_INTERPRET=1."""

import os

import pytest
import torch

if os.environ.get("TRITON_INTERPRET") != "1":
    pytest.skip("runs in Triton's interpreter, see test_fused_attention.py", allow_module_level=True)

from clit_plugin.archs.clit_arch import CLIT
from clit_plugin.fast.fused_attention import FusedAttention
from clit_plugin.fast.fused_check import Batch, compute, largest_differences, make_batch
from clit_plugin.fast.fused_tiles import Shapes
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


def fused_for(shapes: Shapes, dtype: torch.dtype, large: bool = True) -> FusedAttention:
    return FusedAttention(shapes, dtype, tf32=False, large=large)


@pytest.mark.parametrize("shapes", SHAPES.values(), ids=SHAPES)
@pytest.mark.parametrize("dtype", ACCURACY)
def test_kernels_agree_with_torch(shapes, dtype):
    large = dtype == torch.float16
    differences = largest_differences(fused_for(shapes, dtype, large), shapes, dtype, CPU, num_queries=35)
    assert max(differences.values()) < ACCURACY[dtype], differences


def test_crowded_and_empty_pixels_agree_with_torch():
    shapes = Shapes(2, 8, 16, (3, 1))
    batch = make_batch(shapes, torch.float32, CPU, 40)
    centre = batch.chunk.centre.clone()
    centre[5:] = centre[0]  # nearly all queries in one pixel, most pixels without any
    assert_agree(shapes, batch._replace(chunk=batch.chunk._replace(centre=centre)))


def test_a_grid_that_reaches_the_table_s_ends_agrees_with_torch():
    shapes = Shapes(2, 8, 16, (3, 3))
    batch = make_batch(shapes, torch.float32, CPU, 20)
    width, pixels = batch.chunk.width, len(batch.tables.q)
    centre = torch.tensor([width + 1, pixels - width - 2] * 10)
    assert_agree(shapes, batch._replace(chunk=batch.chunk._replace(centre=centre)))


def assert_agree(shapes: Shapes, batch: Batch) -> None:
    expected = compute(TorchArithmetic(grid=shapes.grid, num_heads=shapes.heads, weight=batch.weight), batch)
    actual = compute(fused_for(shapes, torch.float32), batch)
    for name, value in expected.items():
        torch.testing.assert_close(actual[name], value, rtol=0, atol=1e-5 * float(value.abs().max()), msg=name)


def test_a_network_s_colours_and_gradients_are_those_of_torch(monkeypatch):
    encoder = {"type": "EDSRBaseline", "num_feat": 8, "num_block": 1}
    net = CLIT(encoder=encoder, dim=12, num_heads=3, local_grid=[3, 1], decoder_hidden=[16, 16], num_branches=2)
    coord = torch.rand(2, 23, 2) * 2 - 1
    inputs = (torch.rand(2, 3, 4, 5), coord, torch.full((2, 2), 0.1), [(7, 9)])
    results = []
    for fused in (None, fused_for(Shapes(3, 4, 16, (3, 1)), torch.float32)):
        monkeypatch.setattr("clit_plugin.fast.sample.fused_arithmetic", lambda *_, fused=fused: fused)
        net.zero_grad()
        output = net(*inputs)
        output.square().mean().backward()
        results.append([output.detach(), *(p.grad.clone() for n, p in net.named_parameters() if n != "pos_bias.bias")])
    for expected, actual in zip(*results, strict=True):
        torch.testing.assert_close(actual, expected, rtol=0, atol=2e-5 * float(expected.abs().max()))
