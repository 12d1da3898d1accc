"""Images as a browser takes them, in memory."""

import io

import torch
from PIL import Image
from torch import Tensor

from clit_plugin.inference.picture_files import LONGEST_SIDES
from clit_plugin.ops.pixels import to_samples

FORMATS = {"png": "image/png", "jpeg": "image/jpeg", "webp": "image/webp"}
LONGEST_SIDE = {"png": 2**20, "jpeg": LONGEST_SIDES[".jpeg"], "webp": LONGEST_SIDES[".webp"]}


def encode_image(rgb: Tensor, alpha: Tensor | None, kind: str, *, profile: bytes | None, quality: int = 95) -> bytes:
    """A file of 8 bits a sample.

    Args:
        rgb: (3, H, W), about [0, 1].
        alpha: (1, H, W) or None; a JPEG has none, and shows what is transparent on white.
        kind: ``png``, ``jpeg`` or ``webp``.
        profile: The colour profile of the picture.
        quality: 1 to 100, of a JPEG or WebP; 100 makes WebP lossless.
    """
    if alpha is not None and kind == "jpeg":
        rgb, alpha = rgb.clamp(0, 1) * alpha.clamp(0, 1) + 1 - alpha.clamp(0, 1), None
    samples = to_samples(rgb if alpha is None else torch.cat([rgb, alpha]))
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
