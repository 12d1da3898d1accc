import pytest
import torch
import torch.nn.functional as F

from clit_plugin.ops.coordinates import (
    local_grid_offsets,
    make_cell,
    make_coord,
    nearest_index,
    pixel_centres,
    relative_coordinates,
)


def nearest_by_grid_sample(coord: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """Row and column that ``grid_sample`` reads in its nearest mode, for coord (Q, 2)."""
    rows, cols = torch.meshgrid(*(torch.arange(n, dtype=coord.dtype) for n in size), indexing="ij")
    grid = coord.flip(-1).view(1, 1, -1, 2)
    read = F.grid_sample(
        torch.stack([rows, cols])[None], grid, mode="nearest", padding_mode="border", align_corners=False
    )
    return read[0, :, 0].T.long()


@pytest.mark.parametrize(
    ("n", "centres"), [(1, [0]), (2, [-1 / 2, 1 / 2]), (3, [-2 / 3, 0, 2 / 3]), (4, [-0.75, -0.25, 0.25, 0.75])]
)
def test_pixel_centres_lie_half_a_pixel_from_the_border(n, centres):
    torch.testing.assert_close(pixel_centres(n, dtype=torch.float64), torch.tensor(centres, dtype=torch.float64))


@pytest.mark.parametrize("n", [1, 7, 48, 1021])
def test_pixel_centres_are_symmetric_about_0(n):
    centres = pixel_centres(n)
    torch.testing.assert_close(centres, -centres.flip(0))


def test_coordinates_run_row_by_row_in_the_order_y_x():
    expected = [[-1 / 2, -2 / 3], [-1 / 2, 0], [-1 / 2, 2 / 3], [1 / 2, -2 / 3], [1 / 2, 0], [1 / 2, 2 / 3]]
    torch.testing.assert_close(make_coord((2, 3)), torch.tensor(expected))


def test_coordinates_are_those_of_grid_sample():
    image = torch.rand(1, 1, 5, 7)
    read = F.grid_sample(image, make_coord((5, 7)).flip(-1).view(1, 1, -1, 2), align_corners=False)
    torch.testing.assert_close(read.view(1, 1, 5, 7), image)


def test_a_cell_is_the_height_and_width_of_a_pixel():
    torch.testing.assert_close(make_cell((4, 5)), torch.tensor([0.5, 0.4]))


@pytest.mark.parametrize("make", [make_coord, make_cell])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_coordinates_have_the_requested_dtype(make, dtype):
    assert make((2, 3), dtype=dtype).dtype == dtype


@pytest.mark.parametrize("n", [1, 2, 3, 17, 48, 513])
def test_the_nearest_pixel_of_a_pixel_centre_is_that_pixel(n):
    coord = make_coord((n, 1))
    assert nearest_index(coord, (n, 1)).tolist() == [[i, 0] for i in range(n)]


def test_the_nearest_pixel_changes_half_way_between_centres():
    # Two rows with centres -0.5 and 0.5, three columns with centres -2/3, 0, 2/3.
    coord = torch.tensor([[-1e-4, -1 / 3 - 1e-4], [1e-4, -1 / 3 + 1e-4], [-0.9, 1 / 3 - 1e-4], [0.9, 1 / 3 + 1e-4]])
    assert nearest_index(coord, (2, 3)).tolist() == [[0, 0], [1, 1], [0, 1], [1, 2]]


def test_a_coordinate_half_way_between_two_pixels_goes_to_the_even_one():
    between = torch.tensor([-0.5, 0.0, 0.5])  # of pixels 0 and 1, 1 and 2, 2 and 3
    coord = torch.stack([between, between], dim=-1)
    assert nearest_index(coord, (4, 4)).tolist() == [[0, 0], [2, 2], [2, 2]]


@pytest.mark.parametrize("numerator", [2, 3, 5, 7, 8])
def test_nearest_index_agrees_with_grid_sample_half_way_between_pixels(numerator):
    # At x1.5 every third query lies between two pixels; rounding decides, and must do so as in the original.
    for n in range(2, 60, 2):
        size, coord = (n, 2), make_coord((n * numerator // 2, 3))
        assert nearest_index(coord, size).tolist() == nearest_by_grid_sample(coord, size).tolist()


@pytest.mark.parametrize("size", [(1, 1), (3, 5), (7, 4), (13, 48)])
def test_nearest_index_agrees_with_grid_sample_at_random_coordinates(size):
    coord = torch.rand(500, 2) * 2 - 1
    assert nearest_index(coord, size).tolist() == nearest_by_grid_sample(coord, size).tolist()


def test_coordinates_on_and_beyond_the_border_belong_to_the_outermost_pixels():
    coord = torch.tensor([[-1.0, -1.0], [1.0, 1.0], [-1.5, 1.5]])
    assert nearest_index(coord, (3, 5)).tolist() == [[0, 0], [2, 4], [0, 4]]


def test_a_local_grid_is_listed_row_by_row_about_its_centre():
    assert local_grid_offsets((3, 1)).tolist() == [[-1, 0], [0, 0], [1, 0]]
    assert local_grid_offsets((1, 5)).tolist() == [[0, -2], [0, -1], [0, 0], [0, 1], [0, 2]]
    assert local_grid_offsets((3, 3)).tolist() == [[dy, dx] for dy in (-1, 0, 1) for dx in (-1, 0, 1)]


def test_relative_coordinates_are_in_half_pixels():
    # Rows: 2, centres +-0.5. The query is a quarter of a unit, half a half-pixel, above the second.
    coord, index = torch.tensor([[[0.25, 0.0]]]), torch.tensor([[[1, 1]]])
    delta = relative_coordinates(coord, index, local_grid_offsets((3, 3)), (2, 3))
    expected = [[y, x] for y in (1.5, -0.5, -2.5) for x in (2.0, 0.0, -2.0)]
    torch.testing.assert_close(delta, torch.tensor([[expected]]))


def test_relative_coordinates_are_not_clamped_beyond_the_map():
    delta = relative_coordinates(
        torch.zeros(1, 1, 2), torch.zeros(1, 1, 2, dtype=torch.long), local_grid_offsets((1, 5)), (1, 1)
    )
    assert delta[0, 0].tolist() == [[0, 4], [0, 2], [0, 0], [0, -2], [0, -4]]


def test_no_query_is_further_than_half_a_pixel_from_its_centre():
    size, out = (5, 7), (17, 9)  # x3.4 and x1.29
    coord = make_coord(out)[None]
    delta = relative_coordinates(coord, nearest_index(coord, size), torch.zeros(1, 2, dtype=torch.long), size)
    assert delta.abs().max() <= 1.0 + 1e-5
    assert delta.abs().amax((0, 1, 2)).min() > 0.8  # and the unit is half a pixel on both axes
