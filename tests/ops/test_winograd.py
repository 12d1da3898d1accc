"""Convolutions together, against PyTorch's own."""

import pytest
import torch
from torch import nn

from clit_plugin.ops import winograd
from clit_plugin.ops.winograd import convolve_together


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (7, 4), (5, 13), (48, 31)])
@pytest.mark.parametrize("tiles", [1, 9, 256])
def test_the_maps_are_those_of_each_convolution(size, tiles, monkeypatch):
    monkeypatch.setattr(winograd, "_TILES", tiles)
    torch.manual_seed(0)
    convs = [nn.Conv2d(6, channels, 3, padding=1).double() for channels in (4, 8, 4)]
    feature = torch.randn(1, 6, *size, dtype=torch.float64)
    with torch.no_grad():
        maps = convolve_together(feature, convs)
        for got, conv in zip(maps, convs, strict=True):
            assert got.is_contiguous()
            torch.testing.assert_close(got, conv(feature).permute(0, 2, 3, 1))


def test_rounding_in_float32_is_no_larger_than_of_the_plain_convolution():
    torch.manual_seed(0)
    conv, feature = nn.Conv2d(256, 32, 3, padding=1), torch.randn(1, 256, 16, 17)
    with torch.no_grad():
        got, plain = convolve_together(feature, [conv])[0], conv(feature).permute(0, 2, 3, 1)
        exact = conv.double()(feature.double()).permute(0, 2, 3, 1)
    assert (got - exact).abs().max() < 2 * (plain - exact).abs().max()
