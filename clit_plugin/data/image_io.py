"""Image files' bytes to RGB, with errors that name the file, and RGB to a PNG's bytes."""

import io

import cv2
import numpy as np
from PIL import Image

from clit_plugin.utils.errors import UserError

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp")

BYTES_PER_PIXEL = 6  # decode_rgb holds 8-bit images twice: as BGR and as RGB


def decode_rgb(content: bytes | None, name: str, *, convert: bool = False, grey: bool = False) -> np.ndarray:
    """Decode an image file's bytes.

    Args:
        content: Content of the file, in any format that OpenCV reads; EXIF orientation is not applied.
        name: The file in errors.
        convert: Convert grey, transparent and 16-bit images to 8-bit RGB instead of refusing them: grey is repeated,
            alpha is dropped, 16 bits are rounded to 8.
        grey: Convert 8-bit grey images even without ``convert``.

    Returns:
        (H, W, 3) uint8, RGB, contiguous.

    Raises:
        UserError: Not an image, or of a kind that is not converted to 8-bit RGB.
    """
    try:
        image = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED) if content else None
    except cv2.error:  # a header that claims more pixels than OpenCV allows
        image = None
    if image is None:
        raise UserError(f"{name}: not a readable image (empty, damaged or of an unknown format); replace or remove it")
    channels = 1 if image.ndim == 2 else image.shape[2]
    if image.dtype == np.uint8 and channels == 3:
        return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
    if not (convert or (grey and image.dtype == np.uint8 and channels == 1)):
        raise UserError(
            f"{name}: expected an 8-bit RGB image, got {channels} channel(s) of {image.dtype}; "
            "convert it, or prepare the folder with 'clit prepare --convert'"
        )
    if image.dtype == np.uint16:
        image = np.rint(image / 257.0).astype(np.uint8)
    elif image.dtype != np.uint8:
        raise UserError(f"{name}: cannot convert {image.dtype} samples to 8 bits; save it as 8- or 16-bit")
    code = {1: cv2.COLOR_GRAY2RGB, 3: cv2.COLOR_BGR2RGB, 4: cv2.COLOR_BGRA2RGB}.get(channels)
    if code is None:
        raise UserError(f"{name}: cannot convert {channels} channels to RGB")
    return cv2.cvtColor(image, code)


def encode_png(samples: np.ndarray) -> bytes:
    """(H, W, 3) uint8 as the bytes of a PNG file."""
    buffer = io.BytesIO()
    Image.fromarray(samples).save(buffer, format="PNG")
    return buffer.getvalue()
