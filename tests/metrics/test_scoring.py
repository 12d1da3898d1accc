"""Every protocol by hand, and beside BasicSR's own metrics."""

import math

import pytest
import torch
from basicsr.metrics.psnr_ssim import calculate_ssim_pt

from clit_plugin.metrics.float_metrics import ssim_float
from clit_plugin.metrics.protocol import EvaluationProtocol
from clit_plugin.metrics.scoring import least_side, score_image
from clit_plugin.utils.errors import UserError

PSNR = {"psnr": {"type": "psnr_float"}}
ALL = {
    "psnr": {"type": "psnr_float"},
    "ssim": {"type": "ssim_float"},
    "psnr_bytes": {"type": "calculate_psnr"},
    "ssim_bytes": {"type": "calculate_ssim"},
}


def psnr(img: torch.Tensor, gt: torch.Tensor, protocol: str, scale: float) -> float:
    """PSNR by a protocol."""
    return score_image(img, gt, metrics=PSNR, protocol=EvaluationProtocol.named(protocol), scale=scale)["psnr"]


def test_div2k_is_the_mean_square_of_all_three_colours():
    gt = torch.full((1, 3, 40, 50), 0.4)
    img = gt.clone()
    img[:, 0] += 0.3  # of red alone: 0.3^2 / 3 = 0.03
    assert psnr(img, gt, "div2k", 2) == pytest.approx(-10 * math.log10(0.03), abs=1e-4)  # 15.2288 dB


def test_benchmark_is_the_square_of_luma():
    gt = torch.full((1, 3, 40, 50), 0.4)
    img = gt.clone()
    img[:, 0] += 0.3  # of red: 0.3 * 65.481 / 255 = 0.077036 of luma
    assert psnr(img, gt, "benchmark", 2) == pytest.approx(-20 * math.log10(0.0770365), abs=1e-3)  # 22.2661 dB


@pytest.mark.parametrize(
    ("protocol", "scale", "shave"),
    [("div2k", 2, 8), ("div2k", 3.7, 10), ("div2k", 12, 18), ("benchmark", 3, 3), ("benchmark", 1.5, 2)],
)
def test_a_wrong_pixel_counts_just_inside_the_shaved_border(protocol, scale, shave):
    gt = torch.full((1, 3, 44, 50), 0.4)
    for place in ((shave - 1, 25), (22, shave - 1), (44 - shave, 25), (22, 50 - shave)):
        img = gt.clone()
        img[:, :, place[0], place[1]] = 0.9
        assert psnr(img, gt, protocol, scale) == math.inf, place
    for place in ((shave, 25), (22, shave), (43 - shave, 25), (22, 49 - shave)):
        img = gt.clone()
        img[:, :, place[0], place[1]] = 0.9
        left = (44 - 2 * shave) * (50 - 2 * shave)
        weight = 1.0 if protocol == "div2k" else 219 / 255
        expected = -10 * math.log10((0.5 * weight) ** 2 / left)
        assert psnr(img, gt, protocol, scale) == pytest.approx(expected, abs=1e-3), place


@pytest.mark.parametrize("protocol", ["div2k", "benchmark"])
@pytest.mark.parametrize("size", [(61, 75), (150, 40)])
def test_floats_agree_with_basicsr_on_the_same_rounded_images(protocol, size):
    gt = torch.rand(1, 3, *size)
    img = (gt + 0.1 * torch.randn_like(gt)).clamp(0, 1)
    img, gt = ((image * 255).round() / 255 for image in (img, gt))
    scores = score_image(img, gt, metrics=ALL, protocol=EvaluationProtocol.named(protocol), scale=2.5)
    assert scores["psnr"] == pytest.approx(scores["psnr_bytes"], abs=1e-3)
    assert scores["ssim"] == pytest.approx(scores["ssim_bytes"], abs=1e-3)
    assert all(type(value) is float for value in scores.values())


@pytest.mark.parametrize("height", [11, 74, 75, 76, 138, 139, 200])
@pytest.mark.parametrize("y_channel", [False, True])
def test_ssim_in_strips_is_that_of_the_whole(height, y_channel):
    gt = torch.rand(1, 3, height, 30)
    img = (gt + 0.2 * torch.randn_like(gt)).clamp(0, 1)
    whole = float(calculate_ssim_pt(img, gt, crop_border=0, test_y_channel=y_channel))
    assert ssim_float(img, gt, crop_border=0, test_y_channel=y_channel) == pytest.approx(whole, abs=1e-12)


def test_metric_arguments_in_the_options_override_the_protocol():
    gt = torch.full((1, 3, 40, 50), 0.4)
    img = gt.clone()
    img[..., 0, :] = 0.9
    metrics = {"psnr": {"type": "psnr_float", "crop_border": 0, "better": "higher"}}
    assert score_image(img, gt, metrics=metrics, protocol=EvaluationProtocol.named("div2k"), scale=2)["psnr"] < 30


def test_an_image_that_shaving_consumes_is_refused():
    gt = torch.rand(1, 3, 16, 40)
    with pytest.raises(UserError, match="40x16 is too small to crop 8 pixels"):
        psnr(gt, gt, "div2k", 2)


def test_ssim_needs_its_window_within_the_border():
    assert least_side(PSNR) == 1
    assert least_side({**PSNR, "ssim": {"type": "ssim_float"}}) == 11
    assert least_side({}) == 1
