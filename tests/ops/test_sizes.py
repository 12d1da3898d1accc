from fractions import Fraction
from math import floor

import numpy as np
import pytest

from clit_plugin.ops.sizes import lr_size, scale_label, scale_pair, scaled_size, wxh


@pytest.mark.parametrize(
    ("scale", "pair", "label"),
    [
        (2, (2, 2), "2"),
        (3.7, (3.7, 3.7), "3.7"),
        ((3.5, 2), (3.5, 2), "2x3.5"),
        ([2.0, 2.0], (2, 2), "2"),
        (np.float64(1.25), (1.25, 1.25), "1.25"),
    ],
)
def test_a_scale_is_a_pair_of_y_and_x_and_is_written_as_width_x_height(scale, pair, label):
    assert scale_pair(scale) == pair
    assert scale_label(scale) == label


def test_a_size_is_written_as_width_x_height():
    assert wxh((3, 5)) == "5x3"


@pytest.mark.parametrize(
    ("scale", "scaled"), [(1.5, (4, 8)), (2.5, (8, 12)), ((1, 2.1), (3, 10)), (0.1, (0, 0)), (4, (12, 20))]
)
def test_a_scaled_size_is_rounded_half_to_even(scale, scaled):
    assert scaled_size((3, 5), scale) == scaled  # 3 x 1.5 is 4.5, 5 x 1.5 is 7.5


@pytest.mark.parametrize("scale", ["1", "1.1", "2", "2.3", "3", "3.3", "3.4", "7.7", "12"])
def test_the_lr_size_is_the_floor_of_the_exact_quotient(scale):
    for side in range(1, 400):
        assert lr_size((side, 1), float(scale))[0] == floor(side / Fraction(scale))


def test_a_scale_just_above_a_divisor_leaves_one_lr_pixel_less():
    assert lr_size((100, 100), 3.3333334) == (29, 29)
    assert lr_size((100, 100), 10 / 3) == (30, 30)


def test_the_axes_may_have_different_scales():
    assert lr_size((35, 32), (2, 3.5)) == (17, 9)


@pytest.mark.parametrize("scale", [1.1, 2.5, 3.3, 7.7, (2, 3.5)])
def test_the_scaled_lr_size_lies_within_hr(scale):
    for size in [(29, 30), (99, 101), (1000, 1001), (8, 12)]:
        height, width = scaled_size(lr_size(size, scale), scale)
        assert height <= size[0] and width <= size[1]
