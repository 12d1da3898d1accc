"""Encoding of images for the browser, in memory."""

import io

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from clit_plugin.inference.picture_files import MAX_SIDES
from clit_plugin.ops.pixels import to_samples

FORMATS = {"png": "image/png", "jpeg": "image/jpeg", "webp": "image/webp"}
MAX_SIDE = {"png": 2**20, "jpeg": MAX_SIDES[".jpeg"], "webp": MAX_SIDES[".webp"]}


def samples_of(rgb: Tensor, alpha: Tensor | None, kind: str) -> np.ndarray:
    """Samples for an image file: (H, W, 3) or (H, W, 4) uint8.

    Args:
        rgb: (3, H, W), nominally in [0, 1].
        alpha: (1, H, W) or None; for a JPEG, the image is composited on white.
        kind: ``png``, ``jpeg`` or ``webp``.
    """
    if alpha is not None and kind == "jpeg":
        rgb, alpha = rgb.clamp(0, 1) * alpha.clamp(0, 1) + 1 - alpha.clamp(0, 1), None
    return to_samples(rgb if alpha is None else torch.cat([rgb, alpha]))


def encode_image(samples: np.ndarray, kind: str, *, profile: bytes | None, quality: int = 95) -> bytes:
    """The content of an image file with 8 bits per sample.

    Args:
        samples: The output of ``samples_of``.
        kind: ``png``, ``jpeg`` or ``webp``.
        profile: The picture's ICC profile.
        quality: 1 to 100, of a JPEG or WebP; 100 makes WebP lossless.
    """
    options: dict[str, object] = {"quality": quality, "subsampling": 0}
    if kind == "png":
        options = {"compress_level": 1}
    elif kind == "webp":
        options = {"lossless": quality == 100, "quality": quality}
    if profile is not None:
        options["icc_profile"] = profile
    buffer = io.BytesIO()
    Image.fromarray(samples).save(buffer, format=kind, **options)
    return buffer.getvalue()
