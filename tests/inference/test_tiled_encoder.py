"""Encoders on tiles, against the whole image."""

import pytest
import torch
from torch import nn

from clit_plugin.archs.encoders import build_encoder
from clit_plugin.inference.tiled_encoder import TiledEncoder

SIZES = [(5, 7), (24, 24), (25, 24), (41, 30), (16, 70)]


class Seeing(nn.Module):
    """Notes the sizes that it is given; a receptive field of 4 pixels."""

    out_channels = 5

    def __init__(self):
        super().__init__()
        self.seen = []
        self.layers = nn.Sequential(*(nn.Conv2d(3 if i == 0 else 5, 5, 3, padding=1) for i in range(4))).double()

    def forward(self, x):
        self.seen.append(tuple(x.shape[-2:]))
        return self.layers(x)


@pytest.mark.parametrize("size", SIZES)
def test_features_are_those_of_the_whole_image_where_the_margin_covers_the_receptive_field(size):
    encoder, image = Seeing(), torch.rand(2, 3, *size, dtype=torch.float64)
    actual = TiledEncoder(encoder, tile=16, margin=8)(image)
    torch.testing.assert_close(actual, encoder.layers(image), rtol=0, atol=1e-12)
    assert all(max(seen) <= 16 + 2 * 8 for seen in encoder.seen)


def test_a_margin_of_40_covers_edsr_baseline_at_its_depth():
    encoder = build_encoder({"type": "EDSRBaseline", "num_feat": 4}).double()
    image = torch.rand(1, 3, 60, 100, dtype=torch.float64)
    torch.testing.assert_close(TiledEncoder(encoder, tile=8)(image), encoder(image), rtol=0, atol=1e-12)
    short = TiledEncoder(encoder, tile=8, margin=32)(image)
    assert not torch.equal(short, encoder(image))


@pytest.mark.parametrize("sizes", [{"tile": 0}, {"tile": 12}, {"tile": 16, "margin": 5}, {"tile": 16, "margin": -8}])
def test_tile_sizes_that_are_not_multiples_of_8_are_refused(sizes):
    with pytest.raises(ValueError, match="multiples of 8"):
        TiledEncoder(Seeing(), **sizes)
