"""Degradations applied to images, step by step."""

import math
import random
from dataclasses import replace

import cv2
import numpy as np
import pytest
import scipy.ndimage
from PIL import Image

from clit_plugin.data.realistic_degradation import Degradation, draw_degradation, make_lr
from clit_plugin.data.realistic_options import parse_realistic
from clit_plugin.ops.bicubic import resize_bicubic

ALL_STEPS = Degradation(sigma=(0.6, 1.1), kernel="aniso", gaussian=6.0, poisson=0.3, gray=(True, False), quality=80)


def photo(height: int, width: int) -> np.ndarray:
    """Waves of several lengths, and an edge."""
    y, x = np.mgrid[:height, :width]
    waves = [np.sin(x / 3.0 + y / 7.0), np.cos(x * y / 50.0), np.where(x > y, 1.0, -1.0)]
    return np.stack([127 + 100 * wave for wave in waves], axis=-1).round().astype(np.uint8)


def constant(value: int, height: int = 96, width: int = 128) -> np.ndarray:
    return np.full((height, width, 3), value, np.uint8)


def difference(image: np.ndarray, other: np.ndarray) -> int:
    return int(np.abs(image.astype(int) - other).max())


# ---------------------------------------------------------------------- resizing

SIZES = [((36, 48), (9, 12)), ((37, 53), (11, 17)), ((41, 29), (40, 13)), ((31, 31), (31, 31)), ((5, 3), (1, 1))]


@pytest.mark.parametrize(("size", "out"), SIZES)
def test_without_other_steps_lr_is_pillows_bicubic(size, out):
    image = photo(*size)
    assert np.array_equal(Degradation().reduce(image, out), resize_bicubic(image, out, "pil"))


@pytest.mark.parametrize(("size", "out"), SIZES)
@pytest.mark.parametrize("mode", ["bilinear", "lanczos"])
def test_bilinear_and_lanczos_equal_pillows(size, out, mode):
    image = photo(*size)
    kernel = {"bilinear": Image.Resampling.BILINEAR, "lanczos": Image.Resampling.LANCZOS}[mode]
    expected = np.asarray(Image.fromarray(image).resize((out[1], out[0]), kernel))
    assert np.array_equal(Degradation(resize=mode).reduce(image, out), expected)


def covered(length: int, length_out: int) -> np.ndarray:
    """How much of input pixel j lies below output pixel i, as shares of the latter, in plain loops."""
    scale = length / length_out
    return np.array(
        [
            [max(0.0, min(j + 1, (i + 1) * scale) - max(j, i * scale)) / scale for j in range(length)]
            for i in range(length_out)
        ]
    )


@pytest.mark.parametrize(("size", "out"), SIZES)
def test_area_is_the_mean_over_the_pixels_covered_even_partly(size, out):
    image = photo(*size)
    expected = np.einsum("yh,xw,hwc->yxc", covered(size[0], out[0]), covered(size[1], out[1]), image)
    assert np.abs(Degradation(resize="area").reduce(image, out) - expected).max() <= 0.51


# ---------------------------------------------------------------------- blur


@pytest.mark.parametrize("sigma", [0.4, 1.5])
@pytest.mark.parametrize(
    ("size", "out"), [((60, 84), (15, 21)), ((61, 47), (23, 18)), ((40, 33), (40, 33)), ((64, 96), (32, 12))]
)
def test_an_isotropic_blur_is_scipys_gaussian_with_sigma_in_lr_pixels(sigma, size, out):
    image = photo(*size)
    # Where the axes' scales differ, their geometric mean counts.
    hr_sigma = sigma * math.sqrt(size[0] / out[0] * size[1] / out[1])
    radius = math.ceil(3 * hr_sigma)
    blurred = scipy.ndimage.gaussian_filter(image.astype(float), (hr_sigma, hr_sigma, 0), mode="mirror", radius=radius)
    expected = resize_bicubic(np.rint(blurred).astype(np.uint8), out, "pil")
    assert difference(Degradation(sigma=(sigma, 9.9)).reduce(image, out), expected) <= 1


def test_an_anisotropic_blur_is_wider_along_one_axis():
    image = np.zeros((101, 101, 3), np.uint8)
    image[50, 50] = 255
    rows, cols = np.mgrid[:101, :101] - 50
    blurred = Degradation(kernel="aniso", sigma=(1.0, 2.5), seed=5).reduce(image, (101, 101))[..., 0]
    moments = np.array([[(rows * rows * blurred).sum(), (rows * cols * blurred).sum()]] * 2, dtype=float)
    moments[1] = moments[0, 1], (cols * cols * blurred).sum()
    small, large = np.sqrt(np.linalg.eigvalsh(moments / blurred.sum()))
    assert 0.7 < small < 1.1 and 1.9 < large < 2.6  # bytes cut off the tails


@pytest.mark.parametrize("kernel", ["iso", "aniso", "generalized_iso", "generalized_aniso", "plateau_iso"])
def test_blur_keeps_a_constant_image_constant(kernel):
    for value in (0, 7, 255):
        lq = Degradation(kernel=kernel, sigma=(1.2, 0.5), quality=100).reduce(constant(value), (24, 32))
        assert (lq == value).all()


@pytest.mark.parametrize("window", [(20, 30, 24, 24), (0, 0, 24, 24), (43, 66, 24, 24), (0, 33, 24, 24)])
def test_the_blur_of_a_window_equals_that_of_the_whole_image(window):
    image = photo(67, 90)
    degradation = Degradation(kernel="generalized_aniso", sigma=(4.2, 2.1), seed=3)
    whole = degradation.reduce(image, (67, 90))
    top, left, height, width = window
    part = degradation.reduce(image, (height, width), window)
    assert difference(part, whole[top : top + height, left : left + width]) <= 1


# ---------------------------------------------------------------------- noise


@pytest.mark.parametrize("level", [2.0, 10.0])
def test_gaussian_noise_has_the_given_standard_deviation(level):
    noise = Degradation(gaussian=level).reduce(constant(128), (96, 128)).astype(float) - 128
    # 36864 values: the standard deviation is known to 0.4 %; rounding adds a twelfth to the variance.
    assert noise.std() == pytest.approx(math.sqrt(level**2 + 1 / 12), rel=0.02)
    assert abs(noise.mean()) < 4 * level / math.sqrt(noise.size)


@pytest.mark.parametrize("value", [16, 128, 200])
def test_poisson_noise_is_that_of_256_photons_even_in_a_constant_image(value):
    noise = Degradation(poisson=0.5).reduce(constant(value), (96, 128)).astype(float) - value
    expected = 255 * 0.5 * math.sqrt(value / 255 / 256)
    assert noise.std() == pytest.approx(math.sqrt(expected**2 + 1 / 12), rel=0.03)
    assert abs(noise.mean()) < 0.3  # halves are rounded to one side


@pytest.mark.parametrize("noise", [{"gaussian": 5.0}, {"poisson": 0.4}])
def test_only_grey_noise_is_equal_in_all_channels(noise):
    for gray in (True, False):
        lq = Degradation(**noise, gray=(gray, gray)).reduce(constant(128), (48, 64)).astype(int)
        assert (np.ptp(lq, axis=2).max() == 0) == gray


def test_grey_poisson_noise_follows_luma():
    stds = []
    for colour in ([255, 0, 0], [0, 0, 255]):  # as bright as 0.299 and 0.114
        image = constant(0)
        image[:] = np.array(colour) // 2 + 40
        grey = np.dot(image[0, 0], [0.299, 0.587, 0.114])
        noise = Degradation(poisson=0.4, gray=(True, True)).reduce(image, (96, 128)).astype(float) - image
        stds.append(noise.std() / (255 * 0.4 * math.sqrt(grey / 255 / 256)))
    assert stds == pytest.approx([1, 1], rel=0.04)


# ---------------------------------------------------------------------- JPEG


@pytest.mark.parametrize("quality", [30, 60, 95])
def test_jpeg_equals_opencvs_at_the_given_quality(quality):
    image = photo(37, 53)
    coded = cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    expected = cv2.cvtColor(cv2.imdecode(coded, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)
    assert np.array_equal(Degradation(quality=quality).reduce(image, (37, 53)), expected)


def test_a_patch_has_the_jpeg_blocks_of_its_whole_picture():
    rng = np.random.default_rng(0)
    image = cv2.GaussianBlur(rng.integers(0, 256, (192, 192, 3), dtype=np.uint8), (0, 0), 3)
    window = (2 * 21, 2 * 38, 96, 96)  # neither a multiple of 16 in LR pixels
    degradation = Degradation(quality=30, resize="area")
    patch = degradation.reduce(image, (48, 48), window)
    whole = degradation.reduce(image, (96, 96))[21:69, 38:86]
    # Whole blocks of the picture in the patch, from LR pixel 32 to 64 and 48 to 80, are the same to the byte but for
    # colour at their borders, which is interpolated.
    assert difference(patch[12:42, 11:41], whole[12:42, 11:41]) == 0
    aligned = degradation.reduce(image[42:138, 76:172], (48, 48))
    assert difference(patch[12:42, 11:41], aligned[12:42, 11:41]) > 5


# ---------------------------------------------------------------------- randomness


def test_the_result_depends_only_on_the_seed():
    image = photo(61, 47)
    first = ALL_STEPS.reduce(image, (20, 16))
    np.random.seed(1)
    random.seed(1)
    assert np.array_equal(ALL_STEPS.reduce(image, (20, 16)), first)
    assert not np.array_equal(replace(ALL_STEPS, seed=1).reduce(image, (20, 16)), first)


def test_global_random_state_does_not_change():
    np.random.seed(7)
    random.seed(7)
    expected = np.random.random(), random.random()
    np.random.seed(7)
    random.seed(7)
    ALL_STEPS.reduce(photo(61, 47), (20, 16))
    draw_degradation(parse_realistic({"type": "realistic"}, "degradation"), np.random.default_rng(0))
    assert (np.random.random(), random.random()) == expected


def test_global_random_state_is_restored_after_an_error():
    np.random.seed(7)
    expected = np.random.random()
    np.random.seed(7)
    with pytest.raises(np.linalg.LinAlgError):
        ALL_STEPS.reduce(np.zeros((0, 0, 3), np.uint8), (1, 1))
    assert np.random.random() == expected


def test_make_lr_with_a_kernel_name_is_bicubic():
    image = photo(37, 53)
    for kind in ("pil", "matlab"):
        expected = resize_bicubic(image[3:23, 5:29], (7, 11), kind)
        assert np.array_equal(make_lr(image, (7, 11), kind, (3, 5, 20, 24)), expected)
