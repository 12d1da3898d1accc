"""The crop in which two images differ most."""

import pytest
import torch

from clit_plugin.ops.crops import Crop, worst_crop


@pytest.mark.parametrize(("y", "x"), [(0, 0), (52, 3), (12, 35)])
def test_the_default_crop_is_where_the_bicubic_error_is_largest(y, x):
    hr = torch.zeros(3, 100, 83)
    wrong = hr.clone()
    wrong[:, y : y + 48, x : x + 48] = 1
    assert worst_crop(hr, wrong) == Crop(x, y, 48, 48)


def test_an_image_smaller_than_a_crop_is_taken_whole():
    assert worst_crop(torch.zeros(3, 9, 9), torch.ones(3, 9, 9)) == Crop(0, 0, 9, 9)
