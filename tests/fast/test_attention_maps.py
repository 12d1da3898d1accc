"""The attention maps of CLIT, against the plain path."""

import pytest
import torch

from clit_plugin.fast import branch as fast_branch
from clit_plugin.ops.coordinates import local_grid_offsets, make_cell, make_coord, nearest_index, relative_coordinates
from clit_plugin.ops.local_attention import (
    attention_weights,
    gather_local_grid,
    pad_for_local_grid,
    resize_bilinear,
    sample_bilinear,
    weight_values,
)

SIZE, OUT = (7, 9), (23, 41)
STAGES = [(14, 20)]


@pytest.fixture
def lq():
    return torch.rand(1, 3, *SIZE)


@pytest.fixture
def coord():
    return make_coord(OUT)[None, ::17]


def test_maps_are_positive_and_sum_to_one(clit, lq, coord):
    maps = clit[0].attention(lq, coord, STAGES)
    assert [each.size for each in maps] == [SIZE, STAGES[0]]
    for each in maps:
        assert each.weights.shape == (1, coord.shape[1], 9, 2)
        assert (each.weights > 0).all()
        torch.testing.assert_close(each.weights.sum(2), torch.ones(1, coord.shape[1], 2))
        assert torch.equal(each.centre, nearest_index(coord, each.size))


@pytest.mark.parametrize("pixels", [1, 150, 10**6])
def test_maps_are_those_of_the_plain_path_whatever_the_tiles(clit, monkeypatch, pixels):
    monkeypatch.setattr(fast_branch, "tile_pixels", lambda feature: pixels)
    net, lq, size = clit[0], torch.rand(2, 3, 13, 11), (37, 30)
    coord = make_coord(OUT).expand(2, -1, -1)[:, ::7]
    feature = net.conv_feat(net.encoder((lq - 0.5) / 0.5))
    for maps, branch in zip(net.attention(lq, coord, [size]), net.branches, strict=True):
        resized = feature if maps.size == (13, 11) else resize_bilinear(feature, size)
        index, offsets = nearest_index(coord, maps.size), local_grid_offsets((3, 3), device="cpu")
        keys = gather_local_grid(pad_for_local_grid(branch.to_k(resized), (3, 3)), index, (3, 3))
        bias = net.pos_bias(relative_coordinates(coord, index, offsets, maps.size))
        expected = attention_weights(sample_bilinear(branch.to_q(resized), coord), keys, bias)
        torch.testing.assert_close(maps.weights, expected, rtol=0, atol=1e-5)


def test_values_under_the_maps_decode_to_the_networks_own_colours(clit, lq, coord):
    net, _ = clit
    cell = make_cell(OUT)[None]
    inside = (lq - 0.5) / 0.5
    feature = net.conv_feat(net.encoder(inside))
    images = []
    for maps, branch in zip(net.attention(lq, coord, STAGES), net.branches, strict=True):
        resized = feature if maps.size == SIZE else resize_bilinear(feature, maps.size)
        values = gather_local_grid(pad_for_local_grid(branch.to_v(resized), (3, 3)), maps.centre, (3, 3))
        seen = weight_values(maps.weights, values).flatten(2)
        relative = (cell * torch.tensor(maps.size)).unsqueeze(1).expand(-1, coord.shape[1], -1)
        images.append(branch.decoder(torch.cat([seen, relative], -1)))
    total = images[1] + net.discount * images[0] + sample_bilinear(inside, coord, padding_mode="border")
    torch.testing.assert_close(total * 0.5 + 0.5, net(lq, coord, cell, STAGES), rtol=0, atol=1e-5)
