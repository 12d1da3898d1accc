"""The local frequency encoding block, against a discrete Fourier transform written as a loop."""

import cmath
import math

import pytest
import torch
import torch.nn.functional as F

from clit_plugin.archs import CLIT
from clit_plugin.archs.frequency_block import FrequencyBlock
from clit_plugin.ops.coordinates import make_cell

TINY = {
    "encoder": {"type": "EDSRBaseline", "num_feat": 6, "num_block": 1},
    "dim": 8,
    "num_heads": 2,
    "local_grid": 3,
    "decoder_hidden": [8],
}


@pytest.mark.parametrize("grid", [(3, 3), (5, 3), (1, 1)])
def test_the_block_equals_a_fourier_transform_shifted_to_the_query(grid):
    torch.manual_seed(0)
    block = FrequencyBlock(dim=2, channels=2, local_grid=grid).double()
    feature = torch.randn(1, 2, 6, 7, dtype=torch.float64)
    coord = torch.tensor([[[0.21, -0.9]]], dtype=torch.float64)
    index = torch.tensor([[[3, 0]]])
    with torch.no_grad():
        got = block(block.map(feature), coord, index, (6, 7)).flatten()
        f = F.pad(block.to_f(feature)[0], (2, 2, 2, 2))
    # Where the query lies, in pixels, seen from the centre of pixel (3, 0).
    moved = [(0.21 + 1) * 6 / 2 - 0.5 - 3, (-0.9 + 1) * 7 / 2 - 0.5 - 0]
    expected = []
    for ky in range(grid[0]):
        for kx in range(grid[1]):
            signed = [k - n if k > n // 2 else k for k, n in zip((ky, kx), grid, strict=True)]
            shift = cmath.exp(2j * math.pi * sum(k * x / n for k, x, n in zip(signed, moved, grid, strict=True)))
            values = []
            for channel in range(2):
                total = 0j
                for y in range(grid[0]):
                    for x in range(grid[1]):
                        pixel = float(f[channel, 3 + 2 - grid[0] // 2 + y, 0 + 2 - grid[1] // 2 + x])
                        total += pixel * cmath.exp(-2j * math.pi * (ky * y / grid[0] + kx * x / grid[1]))
                values.append(total / math.sqrt(grid[0] * grid[1]) * shift)
            expected += [v.real for v in values] + [v.imag for v in values]
    torch.testing.assert_close(got, torch.tensor(expected, dtype=torch.float64), rtol=0, atol=1e-12)


@pytest.mark.parametrize("options", [{}, {"local_attention": False}, {"local_ensemble": True}])
def test_a_cascade_with_the_block_trains_and_renders(options):
    torch.manual_seed(0)
    net = CLIT(**TINY, num_branches=2, frequency_channels=3, **options).double()
    lq = torch.rand(1, 3, 5, 6, dtype=torch.float64)
    coord = torch.rand(1, 20, 2, dtype=torch.float64) * 2 - 1
    net(lq, coord, make_cell((20, 24), dtype=torch.float64)[None], [(10, 12)]).abs().sum().backward()
    for name, parameter in net.named_parameters():
        if name != "pos_bias.bias":
            assert parameter.grad is not None and float(parameter.grad.abs().max()) > 0, name
    whole = net.upscale(lq, (13, 17), [(10, 12)])
    torch.testing.assert_close(net.upscale(lq, (13, 17), [(10, 12)], max_queries=7), whole, rtol=0, atol=1e-12)


def test_bfloat16_by_autocast_stays_near_float32():
    net = CLIT(**TINY, frequency_channels=3).eval()
    lq = torch.rand(1, 3, 5, 6)
    exact = net.upscale(lq, (11, 13))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert (net.upscale(lq, (11, 13)) - exact).abs().max() < 0.05


def test_a_negative_number_of_channels_is_refused():
    with pytest.raises(ValueError, match="frequency_channels"):
        CLIT(**TINY, frequency_channels=-1)
