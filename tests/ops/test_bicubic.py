import math

import numpy as np
import pytest
import torch
from basicsr.utils.matlab_functions import imresize
from PIL import Image
from torchvision.transforms import InterpolationMode
from torchvision.transforms.functional import resize, to_pil_image

from clit_plugin.ops.bicubic import check_degradation, resize_bicubic
from clit_plugin.utils.errors import UserError


def noise(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


def photo(height: int, width: int) -> np.ndarray:
    """Waves of several lengths, and an edge."""
    y, x = np.mgrid[:height, :width]
    waves = [np.sin(x / 3.0 + y / 7.0), np.cos(x * y / 50.0), np.where(x > y, 1.0, -1.0)]
    return np.stack([127 + 100 * wave for wave in waves], axis=-1).round().astype(np.uint8)


def matlab_axis(length: int, length_out: int) -> np.ndarray:
    """MATLAB's imresize along one axis from its definition, as a matrix, in plain loops."""
    scale = length_out / length
    stretch = min(scale, 1.0)  # antialiasing widens the kernel

    def cubic(x: float) -> float:
        x = abs(x)
        if x <= 1:
            return 1.5 * x**3 - 2.5 * x**2 + 1
        return -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2 if x <= 2 else 0.0

    matrix = np.zeros((length_out, length))
    for i in range(length_out):
        centre = (i + 0.5) / scale - 0.5
        reach = math.ceil(2 / stretch) + 1
        taps = range(math.floor(centre) - reach, math.floor(centre) + reach + 1)
        weights = [cubic((centre - j) * stretch) for j in taps]
        for j, weight in zip(taps, weights, strict=True):
            j %= 2 * length  # mirrored, the border pixel twice
            matrix[i, j if j < length else 2 * length - 1 - j] += weight / sum(weights)
    return matrix


SIZES = [((18, 24), (9, 12)), ((17, 23), (5, 9)), ((7, 9), (23, 31)), ((12, 12), (5, 29))]


@pytest.mark.parametrize(("size", "out"), SIZES)
def test_pil_equals_pillows_resize(size, out):
    image = noise(*size)
    expected = np.asarray(Image.fromarray(image).resize((out[1], out[0]), Image.Resampling.BICUBIC))
    assert np.array_equal(resize_bicubic(image, out, "pil"), expected)


@pytest.mark.parametrize(("size", "out"), SIZES)
def test_pil_equals_torchvisions_resize_in_the_original_code(size, out):
    image = noise(*size)
    expected = np.asarray(resize(to_pil_image(image), list(out), InterpolationMode.BICUBIC))
    assert np.array_equal(resize_bicubic(image, out, "pil"), expected)


@pytest.mark.parametrize(("factor", "size"), [(2, (18, 26)), (3, (21, 27)), (4, (20, 28)), (8, (32, 40))])
def test_matlab_equals_basicsrs_imresize_when_downscaling(factor, size):
    image = noise(*size)
    expected = imresize(image.astype(np.float64) / 255, 1 / factor).clip(0, 1)
    resized = resize_bicubic(image, (size[0] // factor, size[1] // factor), "matlab")
    assert np.abs(resized / 255 - expected).max() <= 0.5001 / 255


@pytest.mark.parametrize("factor", [2, 3])
def test_matlab_equals_basicsrs_imresize_when_upscaling(factor):
    image = photo(11, 13)
    expected = imresize(image.astype(np.float64) / 255, factor).clip(0, 1)
    resized = resize_bicubic(image, (11 * factor, 13 * factor), "matlab")
    assert np.abs(resized / 255 - expected).max() <= 0.5001 / 255


@pytest.mark.parametrize(("size", "out"), [*SIZES, ((40, 33), (17, 33)), ((5, 6), (1, 2)), ((1, 2), (3, 1))])
def test_matlab_equals_its_definition_at_any_scale_per_axis(size, out):
    image = noise(*size)
    expected = np.einsum("yh,xw,hwc->yxc", matlab_axis(size[0], out[0]), matlab_axis(size[1], out[1]), image)
    resized = resize_bicubic(image, out, "matlab")
    assert np.abs(resized - expected.clip(0, 255)).max() <= 0.501


def test_pil_and_matlab_differ_by_at_most_15_grey_levels():
    image = noise(24, 36)
    difference = resize_bicubic(image, (8, 12), "pil").astype(int) - resize_bicubic(image, (8, 12), "matlab")
    assert 3 <= np.abs(difference).max() <= 15


@pytest.mark.parametrize("kind", ["pil", "matlab"])
def test_resizing_to_the_same_size_changes_nothing(kind):
    image = noise(7, 9)
    assert np.array_equal(resize_bicubic(image, (7, 9), kind), image)


@pytest.mark.parametrize("kind", ["pil", "matlab"])
@pytest.mark.parametrize("value", [0, 1, 254, 255])
def test_a_constant_image_stays_constant(kind, value):
    image = np.full((17, 23, 3), value, np.uint8)
    resized = resize_bicubic(image, (5, 9), kind)
    assert resized.shape == (5, 9, 3)
    assert (resized == value).all()


@pytest.mark.parametrize("kind", ["pil", "matlab"])
def test_overshoots_are_clipped(kind):
    image = np.zeros((8, 8, 3), np.uint8)
    image[:, 4:] = 255
    resized = resize_bicubic(image, (31, 31), kind)
    assert resized.dtype == np.uint8
    assert (resized[:, :10] == 0).all() and (resized[:, 21:] == 255).all()  # and not 255 and 0 by overflow


@pytest.mark.parametrize("kind", ["pil", "matlab"])
def test_rows_and_columns_are_treated_alike(kind):
    image = photo(17, 23)
    turned = resize_bicubic(np.ascontiguousarray(image.transpose(1, 0, 2)), (9, 5), kind).transpose(1, 0, 2)
    assert np.abs(turned.astype(int) - resize_bicubic(image, (5, 9), kind)).max() <= 1  # Pillow rounds in between


@pytest.mark.parametrize("kind", ["pil", "matlab"])
def test_a_crop_that_is_not_contiguous_is_accepted(kind):
    image = noise(20, 30)
    crop = image[3:15, 4:22]
    assert np.array_equal(resize_bicubic(crop, (4, 6), kind), resize_bicubic(crop.copy(), (4, 6), kind))


def test_the_result_does_not_depend_on_torchs_default_dtype():
    image = noise(18, 24)
    expected = resize_bicubic(image, (5, 7), "matlab")
    torch.set_default_dtype(torch.float64)
    try:
        assert np.array_equal(resize_bicubic(image, (5, 7), "matlab"), expected)
    finally:
        torch.set_default_dtype(torch.float32)


def test_an_unknown_kind_is_refused_with_the_known_ones():
    with pytest.raises(UserError, match="degradation: expected one of pil, matlab, got 'opencv'"):
        check_degradation("opencv")
    with pytest.raises(UserError, match="got 'bicubic'"):
        resize_bicubic(noise(4, 4), (2, 2), "bicubic")
