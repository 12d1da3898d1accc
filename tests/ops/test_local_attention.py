import math

import pytest
import torch
import torch.nn.functional as F

from clit_plugin.ops.coordinates import local_grid_offsets, make_coord, nearest_index, pixel_centres
from clit_plugin.ops.local_attention import (
    attention_weights,
    gather_local_grid,
    pad_for_local_grid,
    resize_bilinear,
    sample_bilinear,
    weight_values,
)

SIZES = [(1, 1), (3, 5), (7, 4)]
GRIDS = [(1, 1), (3, 3), (7, 7), (3, 5), (5, 1)]


def pixel(feature: torch.Tensor, row: int, col: int) -> torch.Tensor:
    """Features (C,) of one pixel of (C, H, W); zeros outside."""
    inside = 0 <= row < feature.shape[1] and 0 <= col < feature.shape[2]
    return feature[:, row, col] if inside else torch.zeros(feature.shape[0])


def every_pixel(b: int, size: tuple[int, int]) -> torch.Tensor:
    """The index of every pixel, row by row: (B, H * W, 2)."""
    return torch.cartesian_prod(*map(torch.arange, size)).expand(b, -1, -1)


@pytest.mark.parametrize("size", SIZES)
def test_bilinear_samples_at_pixel_centres_are_the_pixels(size):
    feature = torch.rand(2, 3, *size)
    sampled = sample_bilinear(feature, make_coord(size).expand(2, -1, -1))
    torch.testing.assert_close(sampled, feature.flatten(2).transpose(1, 2))


def test_bilinear_weights_are_the_areas_towards_the_opposite_pixel():
    feature = torch.tensor([[[[1.0, 10.0], [100.0, 1000.0]]]])  # centres +-0.5
    sampled = sample_bilinear(feature, torch.tensor([[[-0.25, 0.3]]]))  # a quarter down, 0.8 to the right
    expected = 0.75 * 0.2 * 1 + 0.75 * 0.8 * 10 + 0.25 * 0.2 * 100 + 0.25 * 0.8 * 1000
    assert sampled.item() == pytest.approx(expected, rel=1e-6)


def test_bilinear_samples_outside_fade_to_zero_or_repeat_the_border():
    feature = torch.tensor([[[[4.0], [8.0]]]])  # rows with centres +-0.5
    coord = torch.tensor([[[-1.0, 0.0], [-1.5, 0.0], [0.75, 0.0]]])
    assert sample_bilinear(feature, coord).flatten().tolist() == [2, 0, 6]
    assert sample_bilinear(feature, coord, padding_mode="border").flatten().tolist() == [4, 4, 8]


def test_resizing_to_the_same_size_changes_nothing():
    feature = torch.rand(2, 3, 5, 7)
    torch.testing.assert_close(resize_bilinear(feature, (5, 7)), feature)


def test_resizing_equals_interpolation_away_from_the_border():
    feature, size = torch.rand(2, 3, 5, 7), (13, 16)
    resized = resize_bilinear(feature, size)
    expected = F.interpolate(feature, size, mode="bilinear", align_corners=False)
    # The first and last LR half-pixel lie between a pixel and what is outside.
    rows = (pixel_centres(13).abs() < 1 - 1 / 5).nonzero().flatten()
    cols = (pixel_centres(16).abs() < 1 - 1 / 7).nonzero().flatten()
    assert len(rows) == 11 and len(cols) == 14
    torch.testing.assert_close(resized[:, :, rows][..., cols], expected[:, :, rows][..., cols])


def test_resizing_fades_at_the_border():
    resized = resize_bilinear(torch.ones(1, 1, 1, 2), (1, 8))  # columns 1/8, 3/8, .. of the width, centres at 2/8, 6/8
    torch.testing.assert_close(resized.flatten(), torch.tensor([0.75 - 0.125, 0.875, 1, 1, 1, 1, 0.875, 0.625]))


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("grid", GRIDS)
def test_a_gathered_grid_holds_the_neighbours_and_zeros_outside(size, grid):
    feature, index = torch.rand(2, 3, *size), every_pixel(2, size)
    gathered = gather_local_grid(pad_for_local_grid(feature, grid), index, grid)
    assert gathered.shape == (2, size[0] * size[1], grid[0] * grid[1], 3)
    for b in range(2):
        for q, (row, col) in enumerate(index[b].tolist()):
            for n, (dy, dx) in enumerate((dy, dx) for dy in range(grid[0]) for dx in range(grid[1])):
                expected = pixel(feature[b], row + dy - grid[0] // 2, col + dx - grid[1] // 2)
                assert torch.equal(gathered[b, q, n], expected)


def test_a_gathered_grid_is_what_nearest_sampling_reads_at_its_points():
    size, grid = (5, 7), (3, 5)
    feature, coord = torch.rand(2, 3, *size), torch.rand(2, 11, 2) * 2 - 1
    index = nearest_index(coord, size)
    centre = torch.stack([pixel_centres(5)[index[..., 0]], pixel_centres(7)[index[..., 1]]], dim=-1)
    points = centre.unsqueeze(2) + local_grid_offsets(grid) * torch.tensor([2 / 5, 2 / 7])  # B, Q, N, 2
    read = F.grid_sample(feature, points.flip(-1), mode="nearest", padding_mode="zeros", align_corners=False)
    assert torch.equal(gather_local_grid(pad_for_local_grid(feature, grid), index, grid), read.permute(0, 2, 3, 1))


def test_a_gathered_grid_passes_its_gradient_to_every_pixel_as_often_as_it_is_read():
    feature = torch.rand(1, 1, 3, 5, requires_grad=True)
    gather_local_grid(pad_for_local_grid(feature, (3, 3)), every_pixel(1, (3, 5)), (3, 3)).sum().backward()
    expected = F.conv2d(torch.ones(1, 1, 3, 5), torch.ones(1, 1, 3, 3), padding=1)
    assert torch.equal(feature.grad, expected)


def test_attention_sums_to_1_over_the_grid_in_every_head():
    weights = attention_weights(torch.randn(2, 5, 12), torch.randn(2, 5, 9, 12), torch.randn(2, 5, 9, 3))
    assert weights.shape == (2, 5, 9, 3)
    torch.testing.assert_close(weights.sum(2), torch.ones(2, 5, 3))


def test_attention_is_uniform_over_equal_keys():
    weights = attention_weights(torch.randn(1, 2, 4), torch.ones(1, 2, 9, 4), torch.zeros(1, 2, 9, 2))
    torch.testing.assert_close(weights, torch.full((1, 2, 9, 2), 1 / 9))


def test_products_are_divided_by_the_root_of_a_head_s_channels():
    # Two heads of four channels; the first head's products are 4 and 0, over the root 2 and 0; the second's are 0.
    q = torch.tensor([1.0, 1, 1, 1, 0, 0, 0, 0]).view(1, 1, 8)
    k = torch.tensor([[1.0] * 8, [0.0] * 8]).view(1, 1, 2, 8)
    weights = attention_weights(q, k, torch.zeros(1, 1, 2, 2))[0, 0]
    expected = [[1 / (1 + math.exp(-2)), 0.5], [1 / (1 + math.exp(2)), 0.5]]
    torch.testing.assert_close(weights, torch.tensor(expected))


def test_the_bias_is_added_to_the_logits():
    bias = torch.tensor([0.0, math.log(3.0)]).view(1, 1, 2, 1)
    weights = attention_weights(torch.zeros(1, 1, 4), torch.randn(1, 1, 2, 4), bias)
    torch.testing.assert_close(weights.flatten(), torch.tensor([0.25, 0.75]))


@pytest.mark.parametrize("heads", [1, 2, 6])
def test_attention_equals_a_loop_over_queries_and_heads(heads):
    q, k, bias = torch.randn(2, 4, 6), torch.randn(2, 4, 5, 6), torch.randn(2, 4, 5, heads)
    weights, width = attention_weights(q, k, bias), 6 // heads
    for b in range(2):
        for i in range(4):
            for h in range(heads):
                channels = slice(h * width, (h + 1) * width)
                logits = [
                    float(q[b, i, channels] @ k[b, i, n, channels]) / math.sqrt(width) + float(bias[b, i, n, h])
                    for n in range(5)
                ]
                total = sum(math.exp(value) for value in logits)
                expected = torch.tensor([math.exp(value) / total for value in logits])
                torch.testing.assert_close(weights[b, i, :, h], expected)


def test_values_are_weighted_by_their_head_and_not_summed():
    weights = torch.tensor([[0.2, 0.5], [0.8, 0.5]]).view(1, 1, 2, 2)
    v = torch.tensor([[1.0, 2, 3, 4], [10, 20, 30, 40]]).view(1, 1, 2, 4)
    expected = torch.tensor([[0.2, 0.4, 1.5, 2.0], [8.0, 16.0, 15.0, 20.0]]).view(1, 1, 2, 4)
    torch.testing.assert_close(weight_values(weights, v), expected)
