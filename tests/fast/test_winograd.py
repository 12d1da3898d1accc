"""Convolutions together, against PyTorch's own."""

import pytest
import torch
from torch import nn

from clit_plugin.fast.winograd import F2X2_3X3, Transforms, convolve_together


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (7, 4), (5, 13), (48, 31)])
@pytest.mark.parametrize("tiles", [1, 9, 256])
def test_winograds_maps_equal_those_of_the_convolutions(size, tiles):
    torch.manual_seed(0)
    convs = [nn.Conv2d(6, channels, 3, padding=1).double() for channels in (4, 8, 4)]
    feature = torch.randn(1, 6, *size, dtype=torch.float64)
    with torch.no_grad():
        maps = convolve_together(feature, convs, tiles=tiles)
        for got, conv in zip(maps, convs, strict=True):
            assert got.is_contiguous()
            torch.testing.assert_close(got, conv(feature).permute(0, 2, 3, 1))


@pytest.mark.parametrize("channels", [1, 8, 256])
def test_rounding_in_float32_stays_within_the_bound_of_the_algorithm(channels):
    """Sums of products in any order: |error| <= gamma_n times the sum of absolute values (Higham, lemma 3.1)."""
    conv, feature = nn.Conv2d(channels, 32, 3, padding=1), torch.randn(1, channels, 16, 17)
    with torch.no_grad():
        got = convolve_together(feature, [conv])[0]
        exact = conv.double()(feature.double()).permute(0, 2, 3, 1)
        for parameter in conv.parameters():
            parameter.abs_()
        positive = Transforms(*(torch.tensor(matrix).abs().tolist() for matrix in F2X2_3X3))
        magnitude = convolve_together(feature.double().abs(), [conv], transforms=positive)[0]
    # Roundings on the way from an input to an output; products by 0, 1/4, 1/2 and 1 are exact, as sums with 0 are.
    filters, tiles, products, sums, bias = 9 - 1, 4 - 1, 1 + channels - 1, 9 - 1, 1
    n, unit = filters + tiles + products + sums + bias, 2.0**-24
    assert ((got - exact).abs() <= n * unit / (1 - n * unit) * magnitude).all()
