"""Self-ensemble against the eight orientations written out by hand."""

import pytest
import torch
import torch.nn.functional as F

from clit_plugin.archs import LIIF
from clit_plugin.ops.self_ensemble import upscale_ensemble


@pytest.fixture
def net():
    torch.manual_seed(0)
    return LIIF(encoder={"type": "EDSRBaseline", "num_feat": 4, "num_block": 1}, decoder_hidden=[6]).double().eval()


def by_hand(net, lq, size, views):
    swapped = (size[1], size[0])
    results = [
        net.upscale(lq, size),
        net.upscale(lq.transpose(-1, -2).flip(-2), swapped).flip(-2).transpose(-1, -2),
        net.upscale(lq.flip(-1).flip(-2), size).flip(-1).flip(-2),
        net.upscale(lq.transpose(-1, -2).flip(-1), swapped).flip(-1).transpose(-1, -2),
        net.upscale(lq.flip(-1), size).flip(-1),
        net.upscale(lq.flip(-2), size).flip(-2),
        net.upscale(lq.transpose(-1, -2), swapped).transpose(-1, -2),
        net.upscale(lq.transpose(-1, -2).flip(-1).flip(-2), swapped).flip(-1).flip(-2).transpose(-1, -2),
    ]
    return torch.stack(results[:views]).mean(0)


@pytest.mark.parametrize("views", [1, 4, 8])
def test_views_are_averaged_and_scales_are_swapped_with_the_axes(net, views):
    lq = torch.rand(1, 3, 5, 8, dtype=torch.float64)
    got = upscale_ensemble(net.upscale, lq, (17, 12), views)
    torch.testing.assert_close(got, by_hand(net, lq, (17, 12), views), rtol=0, atol=1e-12)


def test_the_ensemble_of_an_equivariant_upscaler_equals_its_output():
    lq = torch.rand(1, 3, 5, 7, dtype=torch.float64)

    def upscale(image, size):
        return F.interpolate(image, size, mode="bilinear")

    torch.testing.assert_close(upscale_ensemble(upscale, lq, (13, 9), 8), upscale(lq, (13, 9)), rtol=0, atol=1e-12)


def test_an_unsupported_number_of_views_is_refused(net):
    with pytest.raises(ValueError, match="views"):
        upscale_ensemble(net.upscale, torch.rand(1, 3, 4, 4), (8, 8), 3)
