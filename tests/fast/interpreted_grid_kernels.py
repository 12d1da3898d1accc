"""The kernels of whole images on CPU tensors; test_fused_grid.py runs this file with TRITON_INTERPRET=1."""

import os

import pytest
import torch

if os.environ.get("TRITON_INTERPRET") != "1":
    pytest.skip("runs in Triton's interpreter, see test_fused_grid.py", allow_module_level=True)

from clit_plugin.archs.clit_arch import CLIT
from clit_plugin.fast import grid_decoder, render
from clit_plugin.fast.fused_grid import FusedGrid
from clit_plugin.fast.fused_grid_choice import compare
from clit_plugin.fast.fused_tiles import Shapes

CPU = torch.device("cpu")
SHAPES = {
    "four heads of 8": (Shapes(4, 8, 20, (3, 3)), 4),
    "three heads of 5": (Shapes(3, 5, 17, (1, 5)), 2),
    "no neighbours, more queries than a program takes": (Shapes(1, 24, 24, (1, 1)), 5),
    "two heads of 48, T stored": (Shapes(2, 48, 33, (1, 3)), 6),
    "a hidden layer in several tiles": (Shapes(1, 16, 80, (3, 1)), 3),
}


@pytest.mark.parametrize(
    ("name", "dtype", "accuracy"),
    [*((name, torch.float32, 1e-5) for name in SHAPES), ("four heads of 8", torch.float16, 3e-3)],
)
def test_images_agree_with_torch(name, dtype, accuracy):
    shapes, scale = SHAPES[name]
    fused = FusedGrid(shapes, dtype, tf32=False)
    difference, _ = compare(fused, CPU, lambda: None, size=(2, 3), scale=scale)
    assert difference < accuracy


def test_a_networks_images_equal_those_of_the_reference_path(monkeypatch):
    options = {"encoder": {"type": "EDSRBaseline", "num_feat": 8, "num_block": 1}, "dim": 12, "num_heads": 3}
    options |= {"local_grid": [1, 3], "decoder_hidden": [16, 16], "num_branches": 2}
    net, reference = CLIT(**options), CLIT(**options, reference=True)
    with torch.no_grad():
        for name, parameter in net.named_parameters():
            if name.startswith(("branches", "pos_bias")):
                parameter.mul_(3.0)  # attention far from uniform
    reference.load_state_dict(net.state_dict())
    fused = FusedGrid(Shapes(3, 4, 16, (1, 3)), torch.float32, tf32=False)
    monkeypatch.setattr(render, "_planar_pays", lambda *_: False)
    monkeypatch.setattr(render, "fused_grid", lambda *_: fused)
    monkeypatch.setattr(grid_decoder, "part_memory", lambda _: 4_000)  # several strips
    lq, size, stages = torch.rand(1, 3, 3, 4), (7, 11), [(4, 5)]
    expected = reference.upscale(lq, size, stages)
    torch.testing.assert_close(net.upscale(lq, size, stages), expected, rtol=0, atol=2e-5 * float(expected.max()))
