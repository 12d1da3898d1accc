"""Small networks at low scales, in many windows and blocks, against the reference path of the same net."""

import pytest
import torch

from clit_plugin.archs.clit_arch import CLIT
from clit_plugin.fast import planar_attention, render


@pytest.mark.parametrize(
    "size", [(26, 38), (13, 19), (17, 21), (30, 41), (9, 60)], ids=["x2", "x1", "x1.2", "x2.2", "x0.7, x3.2"]
)
@pytest.mark.parametrize("grid", [3, [1, 5]], ids=str)
def test_the_result_does_not_depend_on_the_size_of_parts(size, grid, monkeypatch):
    monkeypatch.setattr(render, "_WINDOW", 150)
    monkeypatch.setattr(render, "_WIDE", 14)
    monkeypatch.setattr(planar_attention, "_BYTES", 40_000)
    options = {"encoder": {"type": "EDSRBaseline", "num_feat": 8, "num_block": 1}, "dim": 12, "num_heads": 3}
    options |= {"decoder_hidden": [16, 16], "local_grid": grid}
    fast, reference = CLIT(**options).double(), CLIT(**options, reference=True).double()
    reference.load_state_dict(fast.state_dict())
    lq, done = torch.rand(1, 3, 13, 19, dtype=torch.float64), []
    image = fast.upscale(lq, size, progress=done.append)
    torch.testing.assert_close(image, reference.upscale(lq, size), rtol=0, atol=1e-10)
    assert len(done) >= 4
    assert sum(done) == size[0] * size[1]
