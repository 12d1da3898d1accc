"""Systems side by side on one image: crops with their PSNR, or the image at several scales."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from clit_plugin.archs.arbitrary_scale_arch import ArbitraryScaleArch
from clit_plugin.data.realistic_degradation import Degradation, make_lr
from clit_plugin.inference.apply import upscale_with_progress
from clit_plugin.inference.memory import check_memory
from clit_plugin.metrics.float_metrics import psnr_float
from clit_plugin.metrics.protocol import EvaluationProtocol
from clit_plugin.ops.bicubic import resize_bicubic
from clit_plugin.ops.coordinates import Size
from clit_plugin.ops.crops import Crop, worst_crop
from clit_plugin.ops.pixels import to_samples, to_tensor
from clit_plugin.ops.sizes import lr_size, scale_label, scaled_size, wxh
from clit_plugin.utils.errors import UserError
from clit_plugin.utils.panels import Panel, compose

_SHOWN = 230  # approximate size in pixels of a magnified crop


@dataclass(frozen=True, kw_only=True)
class Systems:
    """The systems to compare: bicubic interpolation, and networks by name, on images downscaled by ``degradation``.

    ``degradation`` is a bicubic kernel, ``pil`` or ``matlab``, or a drawn degradation. Bicubic interpolation uses the
    same kernel, after a drawn degradation Pillow's.
    """

    networks: Mapping[str, ArbitraryScaleArch]
    degradation: str | Degradation
    image_name: str

    def __str__(self) -> str:
        """How LR is made."""
        return f"{self.degradation} bicubic" if isinstance(self.degradation, str) else "realistic degradation"

    def upscale(self, lq: np.ndarray, size: Size) -> dict[str, Tensor]:
        """Every system's image (3, H, W) in [0, 1] from ``lq`` (h, w, 3) uint8."""
        check_memory(size, torch.device("cpu"), name=self.image_name)
        kernel = self.degradation if isinstance(self.degradation, str) else "pil"
        images = {"bicubic": to_tensor(resize_bicubic(lq, size, kernel))}
        for name, net in self.networks.items():
            label = f"{name} to {wxh(size)}"
            images[name] = upscale_with_progress(net, to_tensor(lq), size, label=label, name=self.image_name).clamp(
                0, 1
            )
        return images


def crops_figure(
    image: np.ndarray, systems: Systems, scale: float, crops: Sequence[Crop], protocol: EvaluationProtocol
) -> np.ndarray:
    """Fig. 5: one row per crop, with HR, bicubic and every system; see ``clit figure --help``.

    Args:
        image: (H, W, 3) uint8; its lower right border is cut so that LR has floor(H / scale) rows.
        systems: The systems to compare.
        scale: More than 1.
        crops: The parts to show; if empty, the crop where bicubic interpolation has the largest error.
        protocol: For the PSNR of whole images.

    Returns:
        (h, w, 3) uint8.

    Raises:
        UserError: The image is too small, or a crop is not inside it.
    """
    reduced = lr_size((image.shape[0], image.shape[1]), scale)
    if min(reduced) < 1:
        raise UserError(f"{systems.image_name}: {image.shape[1]}x{image.shape[0]} is too small for scale {scale:g}")
    size = scaled_size(reduced, scale)
    image = image[: size[0], : size[1]]
    shave = protocol.shave(scale)
    if min(size) <= 2 * shave:
        raise UserError(
            f"{systems.image_name}: {wxh(size)} is too small for --scale {scale:g}, whose PSNR excludes {shave} pixels "
            "at each border"
        )
    hr = to_tensor(image)
    results = systems.upscale(make_lr(image, reduced, systems.degradation), size)
    for crop in crops:
        _check_inside(crop, size, systems.image_name)
    rows = []
    for crop in crops or [worst_crop(hr, results["bicubic"])]:
        zoom = max(1, round(_SHOWN / max(crop.width, crop.height)))
        row = [Panel(crop.of(image), f"HR, {crop}", zoom=zoom)]
        for name, result in results.items():
            whole = psnr_float(result[None], hr[None], **protocol.metric_options(scale))
            parts = [_cut(each, crop)[None] for each in (result, hr)]
            part = psnr_float(parts[0], parts[1], crop_border=0, test_y_channel=protocol.y_channel)
            row.append(Panel(crop.of(to_samples(result)), f"{name}\n{whole:.2f} / {part:.2f} dB", zoom=zoom))
        rows.append(row)
    channel = "Y" if protocol.y_channel else "RGB"
    footer = (
        f"{systems.image_name}, x{scale_label(scale)}, LR by {systems}; PSNR of the whole image "
        f"({protocol}) / of the crop ({channel})"
    )
    return compose(rows, footer)


def text_figure(
    image: np.ndarray, systems: Systems, reduce: float, scales: Sequence[float], crop: Crop | None
) -> np.ndarray:
    """Fig. 6: the reduced image, then at every scale, one row per system, one pixel of the figure per pixel.

    Args:
        image: (H, W, 3) uint8.
        systems: The systems to compare.
        reduce: The factor by which the image is downscaled first.
        scales: Of the reduced image.
        crop: The part of ``image`` that is shown; None for all of it.

    Returns:
        (h, w, 3) uint8.

    Raises:
        UserError: The image is too small, or the crop is not inside it.
    """
    size = (image.shape[0], image.shape[1])
    crop = crop or Crop(0, 0, size[1], size[0])
    _check_inside(crop, size, systems.image_name)
    reduced = (round(size[0] / reduce), round(size[1] / reduce))  # not cropped: there is no HR to compare with
    if min(reduced) < 1:
        raise UserError(f"{systems.image_name}: {wxh(size)} is too small to be downscaled by {reduce:g}")
    lq = make_lr(image, reduced, systems.degradation)
    rows: dict[str, list[Panel]] = {
        name: [Panel(_scaled(crop, size, reduced).of(lq), "LR")] for name in ("bicubic", *systems.networks)
    }
    for scale in scales:
        out = scaled_size(reduced, scale)
        for name, result in systems.upscale(lq, out).items():
            rows[name].append(Panel(_scaled(crop, size, out).of(to_samples(result)), f"{name} x{scale_label(scale)}"))
    footer = f"{systems.image_name} reduced by {reduce:g} ({systems}), then upscaled; 1 pixel = 1 pixel"
    return compose(list(rows.values()), footer)


def _check_inside(crop: Crop, size: Size, name: str) -> None:
    if crop.x + crop.width > size[1] or crop.y + crop.height > size[0]:
        raise UserError(f"--crop {crop}: not inside {name}, which is {wxh(size)}")


def _scaled(crop: Crop, size: Size, out: Size) -> Crop:
    """The same part of an image of another size, at least one pixel."""
    y, x = out[0] / size[0], out[1] / size[1]
    top, left = min(round(crop.y * y), out[0] - 1), min(round(crop.x * x), out[1] - 1)
    return Crop(left, top, max(1, round(crop.width * x)), max(1, round(crop.height * y)))


def _cut(image: Tensor, crop: Crop) -> Tensor:
    return image[:, crop.y : crop.y + crop.height, crop.x : crop.x + crop.width]
