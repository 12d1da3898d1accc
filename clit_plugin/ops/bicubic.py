"""Bicubic down- and upsampling of 8-bit images, as Pillow or as MATLAB does it.

The two differ by up to 15 grey levels, so the kind must always be given.
"""

from functools import lru_cache

import numpy as np
import torch
from basicsr.utils.matlab_functions import calculate_weights_indices
from PIL import Image

from clit_plugin.utils.errors import UserError

DEGRADATIONS = ("pil", "matlab")


def check_degradation(kind: str, where: str = "degradation") -> str:
    """Return ``kind``.

    Args:
        kind: The name of a kernel.
        where: The option, for the error.

    Raises:
        UserError: It is neither ``pil`` nor ``matlab``.
    """
    if kind not in DEGRADATIONS:
        raise UserError(f"{where}: expected one of {', '.join(DEGRADATIONS)}, got {kind!r}")
    return kind


def resize_bicubic(image: np.ndarray, size: tuple[int, int], kind: str) -> np.ndarray:
    """Resize with an antialiased bicubic kernel.

    Args:
        image: (H, W, 3) uint8.
        size: (H_out, W_out).
        kind: ``pil`` (as torchvision resizes Pillow images, and so LIIF, LTE and CLIT) or ``matlab``.

    Returns:
        (H_out, W_out, 3) uint8, rounded.
    """
    if check_degradation(kind) == "pil":
        return np.asarray(Image.fromarray(image).resize((size[1], size[0]), Image.Resampling.BICUBIC))
    rows = _matlab_weights(image.shape[0], size[0])
    cols = _matlab_weights(image.shape[1], size[1])
    resized = np.einsum("hwc,xw->hxc", np.tensordot(rows, image.astype(np.float32), axes=1), cols, optimize=True)
    return np.clip(np.floor(resized + 0.5), 0, 255).astype(np.uint8)


@lru_cache(maxsize=256)
def _matlab_weights(length: int, length_out: int) -> np.ndarray:
    """MATLAB's bicubic kernel for one axis as a matrix (length_out, length), float32; borders are mirrored.

    The weights are BasicSR's; as matrices they take two products per image instead of a Python loop over its rows.
    """
    if length == length_out:
        return np.eye(length, dtype=np.float32)
    weights, indices, before, _ = calculate_weights_indices(
        length, length_out, length_out / length, "cubic", kernel_width=4, antialiasing=True
    )
    index = indices.long() - before  # -1, -2, ... lie before the image
    index = index % (2 * length)
    index = torch.where(index < length, index, 2 * length - 1 - index)
    matrix = torch.zeros(length_out, length)
    matrix.scatter_add_(1, index, weights)
    return matrix.numpy()
