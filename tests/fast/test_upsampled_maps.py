"""Against the convolution of the resized map itself, as PyTorch computes it."""

import pytest
import torch
from torch import nn

from clit_plugin.fast.map_tiles import NativeTiles, UpsampledTiles, WholeTiles
from clit_plugin.fast.upsampled_maps import interpolate_taps, source_range, tap_interpolation, tap_products
from clit_plugin.ops.local_attention import resize_bilinear

SIZES = [
    ((3, 5), (7, 11)),
    ((4, 4), (12, 12)),
    ((1, 1), (5, 3)),
    ((5, 3), (5, 3)),
    ((7, 6), (3, 9)),
    ((2, 9), (31, 10)),
]


def convolution(channels=4, out=6) -> nn.Conv2d:
    return nn.Conv2d(channels, out, 3, padding=1).double()


def padded(feature, conv, size, halo):
    """Channels last, with zeros around it."""
    whole = conv(resize_bilinear(feature, size)).permute(0, 2, 3, 1)
    return nn.functional.pad(whole, (0, 0, halo[1], halo[1], halo[0], halo[0]))


def check_tiles(tiles, whole, halo):
    """The windows cover the map once; each tile is that part of the whole map, and what is ``halo`` around it."""
    seen = torch.zeros(len(whole[0]), *tiles.size)
    for window in tiles.windows():
        seen[window.first : window.last, window.top : window.bottom, window.left : window.right] += 1
        rows, columns = (
            slice(start, stop + 2 * h) for start, stop, h in zip(window[2::2], window[3::2], halo, strict=True)
        )
        for tile, expected in zip(tiles.read(tiles.select(tiles.sources, window), window), whole, strict=True):
            images = slice(window.first, window.last)
            torch.testing.assert_close(tile.transpose(0, 1), expected[images, rows, columns], rtol=0, atol=1e-12)
    assert seen.eq(1).all()


@pytest.mark.parametrize(("small", "size"), SIZES)
def test_products_on_the_small_map_give_the_convolution_of_the_large_one(small, size):
    conv, feature = convolution(), torch.rand(4, *small, dtype=torch.float64)
    axes = [(0, size[i], size[i], small[i]) for i in (0, 1)]
    rows, columns = (tap_interpolation(*axis, 0, axis[3], feature) for axis in axes)
    products = tap_products(feature.permute(1, 2, 0).unsqueeze(1), conv.weight)
    actual = interpolate_taps(products, rows, columns, conv.bias, (slice(None), slice(None)))
    expected = padded(feature[None], conv, size, (0, 0))
    torch.testing.assert_close(actual.transpose(0, 1), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("keep_products", [True, False])
@pytest.mark.parametrize("pixels", [1, 100, 10**6])
@pytest.mark.parametrize(("small", "size"), SIZES)
def test_tiles_are_cut_from_the_whole_map_with_zeros_around_it(small, size, pixels, keep_products):
    halo, convs = (3, 1), [convolution() for _ in range(3)]
    feature = torch.rand(2, 4, *small, dtype=torch.float64)
    tiles = UpsampledTiles(feature, convs, size=size, halo=halo, pixels=pixels, keep_products=keep_products)
    check_tiles(tiles, [padded(feature, conv, size, halo) for conv in convs], halo)


def test_the_only_tile_at_the_features_size_is_the_convolution_with_zeros_around_it_and_has_a_gradient():
    conv, feature = convolution(), torch.rand(2, 4, 3, 5, dtype=torch.float64)
    tiles = WholeTiles(NativeTiles(feature, [conv], halo=(2, 3)))
    (window,) = tiles.windows()
    (tile,) = tiles.read(tiles.select(tiles.sources, window), window)
    torch.testing.assert_close(tile.transpose(0, 1), padded(feature, conv, (3, 5), (2, 3)))
    assert tile.requires_grad


@pytest.mark.parametrize("together", [True, False])
@pytest.mark.parametrize("pixels", [1, 150, 10**6])
@pytest.mark.parametrize("size", [(1, 1), (2, 9), (23, 17), (8, 31)])
def test_tiles_at_the_features_size_are_cut_from_the_whole_map_with_zeros_around_it(size, pixels, together):
    halo, convs = (3, 1), [convolution() for _ in range(3)]
    feature = torch.rand(1, 4, *size, dtype=torch.float64)
    with torch.no_grad():
        tiles = NativeTiles(feature, convs, halo=halo, pixels=pixels, together=together)
        check_tiles(tiles, [padded(feature, conv, size, halo) for conv in convs], halo)


@pytest.mark.parametrize(("n", "size"), [(5, 17), (48, 144), (7, 3), (1, 9), (16, 16)])
def test_rows_depend_only_on_their_source_range(n, size):
    like = torch.zeros((), dtype=torch.float64)
    for start in range(-3, size + 3):
        for stop in range(start + 1, size + 4):
            first, last = source_range(start, stop, size, n)
            everything = tap_interpolation(start, stop, size, n, 0, n, like).sum((0, 1)).nonzero().flatten().tolist()
            assert all(first <= i < last for i in everything)
