"""Features of a tile: those of the whole image, whichever sides have a margin."""

import itertools

import pytest
import torch

from clit_plugin.archs.build import build_network
from clit_plugin.archs.encoders import build_encoder
from clit_plugin.fast.margins import Margins, convolve_inside

EDSR = {"type": "EDSR", "num_feat": 6, "num_block": 2, "res_scale": 0.5}
REACH = 6


@pytest.mark.parametrize("wide", itertools.product([False, True], repeat=4))
def test_a_convolution_crops_sides_with_a_margin_and_pads_the_others(wide):
    conv = torch.nn.Conv2d(3, 5, 3, padding=1).double()
    x = torch.rand(2, 3, 7, 9, dtype=torch.float64)
    margins = Margins(*map(int, wide))
    torch.testing.assert_close(convolve_inside(conv, x, margins), margins.crop(conv(x)), rtol=0, atol=1e-12)


@pytest.mark.parametrize("type_", ["EDSR", "EDSRBaseline"])
@pytest.mark.parametrize("rows", [(0, 31), (0, 9), (5, 12), (6, 12), (17, 24), (19, 31)])
@pytest.mark.parametrize("columns", [(0, 23), (7, 8), (14, 23)])
@torch.no_grad()
def test_a_tile_of_edsr_with_its_margins_equals_the_whole_image(type_, rows, columns):
    encoder = build_encoder({**EDSR, "type": type_}).double()
    x = torch.rand(1, 3, 31, 23, dtype=torch.float64)
    whole = encoder(x)[..., slice(*rows), slice(*columns)]
    for reach in (REACH, REACH + 3):
        given, margins = zip(*(around(*span, n, reach) for span, n in ((columns, 23), (rows, 31))), strict=True)
        part = encoder.inside(x[..., given[1], given[0]], Margins(*margins[0], *margins[1]))
        torch.testing.assert_close(part, whole, rtol=0, atol=1e-12)


def test_features_without_gradients_equal_those_with():
    encoder = build_encoder(EDSR).double()
    x = torch.rand(2, 3, 13, 10, dtype=torch.float64)
    features = encoder(x)
    assert features.requires_grad
    with torch.no_grad():
        torch.testing.assert_close(encoder(x), features.detach(), rtol=0, atol=1e-12)


@pytest.mark.parametrize("encoder", [EDSR, {"type": "RDN", "num_feat": 6, "num_block": 2, "num_layer": 1, "growth": 3}])
@pytest.mark.parametrize("margin", [0, 1, REACH, REACH + 1])
def test_encode_drops_the_margins(encoder, margin):
    net = build_network({"type": "CLIT", "encoder": encoder, "dim": 8, "num_heads": 2, "decoder_hidden": [8]})
    lq, margins = torch.rand(1, 3, 40, 44), Margins(margin, 0, margin, margin)
    inner = net.encode(lq, margins)
    assert inner.shape[-2:] == (40 - 2 * margin, 44 - margin)
    whole = net.encode(lq)
    far = REACH + 1  # from sides that are no image's border
    torch.testing.assert_close(
        inner[..., far:-far, far:], margins.crop(whole)[..., far:-far, far:], rtol=1e-5, atol=1e-6
    )
    if margin != REACH:  # not enough for the convolution after the encoder; a border's padding is kept below that
        torch.testing.assert_close(inner, margins.crop(whole), rtol=1e-5, atol=1e-6)


def around(start, stop, n, reach):
    """A span's slice with context, and the margins that it has."""
    first, last = max(0, start - reach), min(n, stop + reach)
    return slice(first, last), (start - first, last - stop)
