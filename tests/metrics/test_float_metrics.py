import math

import numpy as np
import pytest
import torch
from basicsr.metrics import calculate_metric
from basicsr.metrics.psnr_ssim import calculate_psnr, calculate_ssim
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from clit_plugin.metrics.float_metrics import psnr_float, ssim_float
from clit_plugin.utils.errors import UserError

CROPS = [0, 1, 4]
METRICS = [psnr_float, ssim_float]


def pair(height: int = 23, width: int = 31, noise: float = 0.1) -> tuple[torch.Tensor, torch.Tensor]:
    """An image and a noisy copy that leaves [0, 1] here and there."""
    image = torch.rand(1, 3, height, width)
    return image + noise * torch.randn(1, 3, height, width), image


def hwc(image: torch.Tensor, crop: int) -> np.ndarray:
    """The inner part, clamped, (H, W, 3) float64."""
    height, width = image.shape[-2:]
    inner = image[0, :, crop : height - crop, crop : width - crop].clamp(0, 1)
    return inner.permute(1, 2, 0).double().numpy()


def luma(image: np.ndarray) -> np.ndarray:
    """Y of BT.601 for RGB in [0, 1], as LIIF weights it: 16 to 235 of 255."""
    return (image @ np.array([65.481, 128.553, 24.966]) + 16) / 255


def as_bytes(image: torch.Tensor) -> np.ndarray:
    """(H, W, 3) uint8 in OpenCV's order, as BasicSR's metrics take it."""
    return (image[0].permute(1, 2, 0).numpy() * 255).round().astype(np.uint8)[..., ::-1]


@pytest.mark.parametrize("crop", CROPS)
def test_psnr_is_that_of_all_colours_inside_the_border(crop):
    image, reference = pair()
    expected = 10 * math.log10(1 / np.mean((hwc(image, crop) - hwc(reference, crop)) ** 2))
    assert psnr_float(image, reference, crop_border=crop, test_y_channel=False) == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("crop", CROPS)
def test_psnr_of_luma_weights_the_colours(crop):
    image, reference = pair()
    expected = 10 * math.log10(1 / np.mean((luma(hwc(image, crop)) - luma(hwc(reference, crop))) ** 2))
    assert psnr_float(image, reference, crop_border=crop, test_y_channel=True) == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize(("channel", "weight"), [(0, 65.481), (1, 128.553), (2, 24.966)])
def test_an_error_in_one_colour_counts_by_its_weight(channel, weight):
    reference = torch.full((1, 3, 9, 7), 0.5)
    image = reference.clone()
    image[:, channel] += 0.1
    expected = -20 * math.log10(0.1 * weight / 255)
    assert psnr_float(image, reference, crop_border=0, test_y_channel=True) == pytest.approx(expected, abs=1e-4)


def test_psnr_equals_skimages():
    image, reference = pair()
    expected = peak_signal_noise_ratio(hwc(reference, 0), hwc(image, 0), data_range=1)
    assert psnr_float(image, reference, crop_border=0, test_y_channel=False) == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("y_channel", [False, True])
@pytest.mark.parametrize("crop", CROPS)
def test_psnr_of_uint8_images_equals_basicsrs(crop, y_channel):
    image, reference = (torch.randint(0, 256, (1, 3, 23, 31)) / 255 for _ in range(2))
    options = {"crop_border": crop, "test_y_channel": y_channel}
    expected = calculate_psnr(as_bytes(image), as_bytes(reference), **options)
    assert psnr_float(image, reference, **options) == pytest.approx(expected, abs=1e-4)


def test_psnr_does_not_round_to_uint8():
    reference = torch.full((1, 3, 9, 7), 0.5)
    assert psnr_float(reference + 0.2 / 255, reference, crop_border=0, test_y_channel=False) == pytest.approx(
        20 * math.log10(255 / 0.2), abs=1e-2
    )


@pytest.mark.parametrize("y_channel", [False, True])
def test_psnr_of_equal_images_is_infinite(y_channel):
    image, _ = pair()
    assert psnr_float(image, image.clone(), crop_border=2, test_y_channel=y_channel) == math.inf


def test_psnr_tells_100_db_from_120():
    reference = torch.full((1, 3, 9, 7), 0.5, dtype=torch.float64)
    for db in (100, 120):
        image = reference + 10 ** (-db / 20)
        assert psnr_float(image, reference, crop_border=0, test_y_channel=False) == pytest.approx(db, abs=1e-6)


def test_ssim_of_equal_images_is_1():
    image, _ = pair()
    assert ssim_float(image, image.clone(), crop_border=2, test_y_channel=False) == pytest.approx(1, abs=1e-9)


@pytest.mark.parametrize("crop", CROPS)
def test_ssim_equals_skimages(crop):
    image, reference = pair()
    expected = structural_similarity(
        hwc(image, crop),
        hwc(reference, crop),
        channel_axis=2,
        data_range=1,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
    )
    assert ssim_float(image, reference, crop_border=crop, test_y_channel=False) == pytest.approx(expected, abs=1e-6)


def test_ssim_of_luma_equals_skimages():
    image, reference = pair()
    expected = structural_similarity(
        luma(hwc(image, 3)),
        luma(hwc(reference, 3)),
        data_range=1,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
    )
    assert ssim_float(image, reference, crop_border=3, test_y_channel=True) == pytest.approx(expected, abs=1e-5)


def test_ssim_of_uint8_images_equals_basicsrs():
    image, reference = (torch.randint(0, 256, (1, 3, 23, 31)) / 255 for _ in range(2))
    options = {"crop_border": 2, "test_y_channel": False}
    expected = calculate_ssim(as_bytes(image), as_bytes(reference), **options)
    assert ssim_float(image, reference, **options) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("y_channel", [False, True])
def test_images_are_clamped_before_they_are_compared(metric, y_channel):
    image, reference = pair(noise=0.5)
    options = {"crop_border": 1, "test_y_channel": y_channel}
    assert metric(image, reference, **options) == metric(image.clamp(0, 1), reference, **options)
    assert metric(reference, image, **options) == metric(reference, image.clamp(0, 1), **options)


@pytest.mark.parametrize("metric", METRICS)
def test_errors_in_the_shaved_border_do_not_count(metric):
    image, reference = pair()
    other = torch.rand_like(image)
    other[..., 4:-4, 4:-4] = image[..., 4:-4, 4:-4]
    options = {"crop_border": 4, "test_y_channel": False}
    assert metric(other, reference, **options) == metric(image, reference, **options)
    other[..., 4, 4:-4] = 0.5  # the outermost row that does
    assert metric(other, reference, **options) != metric(image, reference, **options)


@pytest.mark.parametrize("metric", METRICS)
def test_the_images_are_not_changed(metric):
    image, reference = pair(noise=0.5)
    copies = image.clone(), reference.clone()
    metric(image, reference, crop_border=0, test_y_channel=True)
    assert torch.equal(image, copies[0]) and torch.equal(reference, copies[1])


@pytest.mark.parametrize(("metric", "least"), [(psnr_float, 1), (ssim_float, 11)])
@pytest.mark.parametrize("crop", [0, 3])
def test_an_image_too_small_after_shaving_is_refused(metric, least, crop):
    side = 2 * crop + least
    options = {"crop_border": crop, "test_y_channel": False}
    assert math.isfinite(metric(*pair(side, 40), **options))
    assert math.isfinite(metric(*pair(40, side), **options))
    for size in ((side - 1, 40), (40, side - 1)):
        with pytest.raises(UserError, match=f"{size[1]}x{size[0]} is too small to crop {crop} pixels"):
            metric(*pair(*size), **options)


@pytest.mark.parametrize("metric", METRICS)
def test_images_of_different_sizes_are_refused_with_both(metric):
    with pytest.raises(UserError, match=r"\(1, 3, 23, 31\) and \(1, 3, 23, 30\)"):
        metric(torch.rand(1, 3, 23, 31), torch.rand(1, 3, 23, 30), crop_border=0, test_y_channel=False)


@pytest.mark.parametrize("metric", METRICS)
def test_basicsr_finds_the_metric_by_its_name(metric):
    image, reference = pair()
    options = {"crop_border": 2, "test_y_channel": True}
    found = calculate_metric({"img": image, "img2": reference}, {"type": metric.__name__, **options})
    assert found == metric(image, reference, **options)
