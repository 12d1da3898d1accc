"""PSNR and SSIM on floats, by BasicSR's own formulas.

BasicSR's loop scores images rounded to bytes; LIIF, LTE and CLIT score floats clamped to [0, 1].
"""

from typing import Any

import torch
from basicsr.metrics.psnr_ssim import calculate_ssim_pt
from basicsr.utils.color_util import rgb2ycbcr_pt
from basicsr.utils.registry import METRIC_REGISTRY
from torch import Tensor

from clit_plugin.utils.errors import UserError

SSIM_WINDOW = 11
_STRIP = 64


@METRIC_REGISTRY.register()
def psnr_float(img: Tensor, img2: Tensor, *, crop_border: int, test_y_channel: bool) -> float:
    """PSNR in dB of unrounded images, clamped to [0, 1].

    BasicSR's ``calculate_psnr_pt`` adds 1e-8 to the error, which limits it to 80 dB; this one does not.

    Args:
        img: (1, 3, H, W), RGB, not necessarily within [0, 1].
        img2: The reference, of the same shape.
        crop_border: Pixels cut from every border.
        test_y_channel: Compare Y of BT.601 (coefficients 65.481, 128.553, 24.966 over 255, as in LIIF, LTE and CLIT).

    Raises:
        UserError: The images are smaller than twice the border, or differ in size.
    """
    img, img2 = _cut(img, img2, crop_border)
    if test_y_channel:
        img, img2 = rgb2ycbcr_pt(img, y_only=True), rgb2ycbcr_pt(img2, y_only=True)
    error = (img.double() - img2.double()).square().mean()
    return float(-10.0 * torch.log10(error))


@METRIC_REGISTRY.register()
def ssim_float(img: Tensor, img2: Tensor, *, crop_border: int, test_y_channel: bool) -> float:
    """SSIM of unrounded images, clamped to [0, 1], by BasicSR's formula (11x11 Gaussian window).

    Arguments and errors as for ``psnr_float``; inside the border an image must be at least 11 pixels high and wide.
    """
    img, img2 = _cut(img, img2, crop_border, min_side=SSIM_WINDOW)
    total, rows = 0.0, img.shape[-2] - SSIM_WINDOW + 1
    # Strip by strip: the float64 maps of a 2K image would take gigabytes.
    for top in range(0, rows, _STRIP):
        height = min(_STRIP, rows - top)
        strip = (..., slice(top, top + height + SSIM_WINDOW - 1), slice(None))
        total += height * float(calculate_ssim_pt(img[strip], img2[strip], 0, test_y_channel=test_y_channel))
    return total / rows


FLOAT_METRICS: dict[str, Any] = {function.__name__: function for function in (psnr_float, ssim_float)}


def _cut(img: Tensor, img2: Tensor, border: int, min_side: int = 1) -> tuple[Tensor, Tensor]:
    if img.shape != img2.shape:
        raise UserError(f"metric: the images differ in shape, {tuple(img.shape)} and {tuple(img2.shape)}")
    height, width = img.shape[-2] - 2 * border, img.shape[-1] - 2 * border
    if min(height, width) < min_side:
        raise UserError(
            f"metric: an image of {img.shape[-1]}x{img.shape[-2]} is too small to crop {border} pixels from each border"
        )
    window = (..., slice(border, border + height), slice(border, border + width))
    return img[window].clamp(0, 1), img2[window].clamp(0, 1)
