"""Images as a browser takes them, in memory."""

import io

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from clit_plugin.inference.pictures import Picture
from clit_plugin.ops.coordinates import Size, pixel_centres
from clit_plugin.ops.parts import Span
from clit_plugin.ops.pixels import to_samples

FORMATS = {"png": "image/png", "jpeg": "image/jpeg", "webp": "image/webp"}
LONGEST_SIDE = {"png": 2**20, "jpeg": 65500, "webp": 16383}


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


def alpha_part(picture: Picture, size: Size, rows: Span, columns: Span) -> Tensor | None:
    """The picture's alpha, enlarged bicubically to ``size``, on some rows and columns: (1, h, w)."""
    if picture.alpha is None:
        return None
    y, x = pixel_centres(size[0])[slice(*rows)], pixel_centres(size[1])[slice(*columns)]
    grid = torch.stack(torch.meshgrid(y, x, indexing="ij"), -1).flip(-1)  # grid_sample's order is (x, y)
    sampled = F.grid_sample(picture.alpha[None], grid[None], mode="bicubic", padding_mode="border", align_corners=False)
    return sampled[0]
