import pytest
import torch

from clit_plugin.fast.axis import make_axis
from clit_plugin.ops.coordinates import local_grid_offsets, make_coord, nearest_index, relative_coordinates
from clit_plugin.ops.local_attention import sample_bilinear


@pytest.mark.parametrize(("n", "out"), [(48, 192), (5, 17), (7, 7), (9, 4), (1, 6), (4, 6), (32, 86)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_axes_equal_the_two_dimensional_geometry_bit_for_bit(n, out, dtype):
    coord = make_coord((out, 1), dtype=dtype)
    axis = make_axis(coord[:, 0], n, 7)
    index = nearest_index(coord, (n, 3))
    offsets = local_grid_offsets((7, 1))
    delta = relative_coordinates(coord[None], index[None], offsets, (n, 3))[0, ..., 0]
    assert torch.equal(axis.index, index[:, 0])
    assert torch.equal(axis.delta, delta)


@pytest.mark.parametrize("shift", [-1, 0, 1])
@pytest.mark.parametrize(("n", "out"), [(5, 17), (7, 7), (9, 4), (1, 6), (4, 6)])
def test_hat_weights_about_the_centre_sample_bilinearly(n, out, shift):
    coord = make_coord((out, 1), dtype=torch.float64)[:, 0]
    signal = torch.rand(n, dtype=torch.float64)
    axis = make_axis(coord, n, 3, shift)
    around = torch.nn.functional.pad(signal, (1, 1))[axis.index.unsqueeze(-1) + torch.arange(3)]
    points = torch.stack([coord, torch.zeros_like(coord)], dim=-1)[None]
    expected = sample_bilinear(signal.view(1, 1, n, 1), points).flatten()
    torch.testing.assert_close((axis.hat * around).sum(-1), expected, rtol=0, atol=2e-6)  # the shift's 1e-6


@pytest.mark.parametrize(("shift", "expected"), [(-1, [0, 0, 0, 1, 1, 2]), (1, [0, 1, 1, 2, 2, 2])])
def test_a_shift_moves_the_centre_by_half_a_pixel(shift, expected):
    # At x2 the six positions are -1/4, 1/4, 3/4, ... pixels: half a pixel further, -3/4 (clamped) ... and 1/4 ...
    coord = make_coord((6, 1), dtype=torch.float64)[:, 0]
    assert make_axis(coord, 3, 1, shift).index.tolist() == expected
