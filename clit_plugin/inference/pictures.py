"""Photographs of any common kind as float RGB, and back: grey, alpha, 16 bits, EXIF orientation, colour profile."""

import io
import stat
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import torch
from PIL import Image
from torch import Tensor

from clit_plugin.data.image_header import Header, check_decodable, read_header
from clit_plugin.data.image_io import IMAGE_SUFFIXES
from clit_plugin.ops.pixels import to_samples, to_tensor
from clit_plugin.ops.sizes import by
from clit_plugin.utils.atomic_files import write_bytes
from clit_plugin.utils.console import warn
from clit_plugin.utils.errors import UserError
from clit_plugin.utils.output_files import check_replaces_none, check_writable, reason

_LOSSY = (".jpg", ".jpeg")
_LONGEST_SIDE = {".webp": 16383, ".jpg": 65500, ".jpeg": 65500}  # pixels
_NO_ALPHA = (".jpg", ".jpeg", ".bmp")
_16_BITS = (".png", ".tif", ".tiff")
_WITH_PROFILE = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".webp")
_LUMA = (0.299, 0.587, 0.114)
_BYTES_A_PIXEL = 36  # of an image that is read: as it is decoded, and as floats, twice


@dataclass(frozen=True, kw_only=True)
class Picture:
    """An image file's content.

    Attributes:
        rgb: (3, H, W) float32 in [0, 1]; of a grey image the same three times.
        alpha: (1, H, W) float32 in [0, 1], 1 opaque, or None.
        grey: Whether the file holds one colour channel.
        bits: 8 or 16 a sample.
        profile: The ICC profile by which the numbers mean colours, or None for the usual one.
    """

    rgb: Tensor
    alpha: Tensor | None = None
    grey: bool = False
    bits: int = 8
    profile: bytes | None = None

    @property
    def size(self) -> tuple[int, int]:
        """(H, W)."""
        return self.rgb.shape[-2], self.rgb.shape[-1]

    def resized(self, rgb: Tensor) -> "Picture":
        """The same kind of picture from an upscaled ``rgb`` (3, H, W); alpha follows bicubically."""
        alpha = self.alpha
        if alpha is not None:
            size = (rgb.shape[-2], rgb.shape[-1])
            alpha = torch.nn.functional.interpolate(alpha[None], size, mode="bicubic", align_corners=False)[0]
        return replace(self, rgb=rgb, alpha=alpha)


def read_picture(path: str | Path) -> Picture:
    """Read an image, turned upright as its EXIF orientation says.

    Raises:
        UserError: Not there, no image, or of a kind that is not handled (floats, 32 bits, more than four channels,
            CMYK, LAB), or more than the memory that is left.
    """
    try:
        content = _regular(path).read_bytes()
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({reason(error)})") from error
    header = read_header(io.BytesIO(content)) or Header(size=(0, 0), mode="")  # a format that OpenCV alone reads
    check_decodable(header, str(path), bytes_a_pixel=_BYTES_A_PIXEL)
    if header.frames > 1:
        warn(f"{path}: holds {header.frames} images, an animation or pages; the first is taken")
    try:
        image = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED) if content else None
    except cv2.error:  # a header that promises more pixels than OpenCV allows
        image = None
    if image is None:
        raise UserError(f"{path}: not a readable image (empty, damaged or of an unknown format)")
    if image.dtype not in (np.uint8, np.uint16):
        raise UserError(f"{path}: samples of {image.dtype} are not handled; save it with 8 or 16 bits")
    if image.ndim == 2:
        image = image[..., None]
    channels = image.shape[2]
    if channels > 4:
        raise UserError(f"{path}: has {channels} channels; 1 to 4 are handled (grey, RGB, either with alpha)")
    image = _upright(image, header.orientation)
    floats = to_tensor(image)
    grey = channels <= 2 or header.mode == "LA"  # which OpenCV reads as four channels
    colours = floats[:1].repeat(3, 1, 1) if grey else floats[:3].flip(0)
    alpha = floats[-1:] if channels in (2, 4) else None
    if channels == 1 and header.clear_grey is not None:
        alpha = torch.from_numpy((image.transpose(2, 0, 1) != header.clear_grey).astype(np.float32))
    return Picture(rgb=colours.contiguous(), alpha=alpha, grey=grey, bits=8 * image.itemsize, profile=header.profile)


def picture_size(path: str | Path) -> tuple[int, int] | None:
    """(H, W) of an image that is still to be read, upright; None where only reading it tells.

    Raises:
        UserError: No file, or one that ``read_picture`` would refuse by its header.
    """
    try:
        header = read_header(_regular(path))
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({reason(error)})") from error
    if header is None:
        return None
    check_decodable(header, str(path), bytes_a_pixel=_BYTES_A_PIXEL)
    return header.upright_size


def _regular(path: str | Path) -> Path:
    """The path of a file; raises UserError for a pipe or a device, which might be waited for without end."""
    if not stat.S_ISREG(Path(path).stat().st_mode):
        raise UserError(f"{path}: no such image; it is a folder, a pipe or a device")
    return Path(path)


def check_output_format(path: Path) -> None:
    """Raise UserError unless the suffix is that of a format that can be written."""
    if path.suffix.lower() not in IMAGE_SUFFIXES:
        raise UserError(f"{path}: unknown image format; the name should end in one of {', '.join(IMAGE_SUFFIXES)}")


def check_new_png(name: str, inputs: Iterable[tuple[str, str | None]], *, overwrite: bool) -> Path:
    """Where a figure goes.

    Args:
        name: As it was given.
        inputs: What is read for it and from which file, as ``check_replaces_none`` takes it.
        overwrite: Whether a file that is there may be replaced.

    Raises:
        UserError: Another suffix, a file that is there, one of the inputs, or one that cannot be written.
    """
    path = Path(name).expanduser()
    if path.suffix.lower() != ".png":
        raise UserError(f"{path}: figures are PNG files; let the name end in .png")
    if path.is_dir() or (path.exists() and not overwrite):
        raise UserError(f"{path}: is there already; --overwrite replaces a file")
    check_replaces_none([path], inputs)
    check_writable(path)
    return path


def check_output_kind(path: Path, picture: Picture, source: str | Path, size: tuple[int, int]) -> None:
    """Raise UserError where the format of ``path`` would lose transparency, or has no images of (H, W) ``size``."""
    longest = _LONGEST_SIDE.get(path.suffix.lower())
    if longest is not None and max(size) > longest:
        raise UserError(f"{path}: {by(size)} is more than {path.suffix} holds ({longest}); write a .png")
    if picture.alpha is not None and path.suffix.lower() in _NO_ALPHA:
        raise UserError(f"{path}: {path.suffix} has no transparency, which {source} has; write a .png")


def write_picture(path: Path, picture: Picture) -> None:
    """Write whole or not at all, in the format of the suffix; 16 bits become 8 where the format has no more.

    Raises:
        UserError: It cannot be written.
    """
    suffix = path.suffix.lower()
    bits = picture.bits if suffix in _16_BITS else 8
    colours = picture.rgb
    if picture.grey:
        colours = (colours * torch.tensor(_LUMA, device=colours.device).view(3, 1, 1)).sum(0, keepdim=True)
    if picture.alpha is not None:
        if picture.grey and bits == 16:  # OpenCV writes no grey with alpha
            colours = colours.repeat(3, 1, 1)
        colours = torch.cat([colours, picture.alpha.to(colours.device)])
    samples = to_samples(colours, bits)
    try:
        if bits == 16:
            content = _encode_by_opencv(samples, suffix)
        else:
            content = _encode_by_pillow(samples, suffix, picture.profile)
    except (OSError, ValueError, cv2.error) as error:
        raise UserError(f"{path}: cannot be written as {suffix} ({' '.join(str(error).split())})") from error
    write_bytes(path, content)


def _encode_by_opencv(samples: np.ndarray, suffix: str) -> bytes:
    code = {3: cv2.COLOR_RGB2BGR, 4: cv2.COLOR_RGBA2BGRA}.get(samples.shape[-1] if samples.ndim == 3 else 1)
    return cv2.imencode(suffix, samples if code is None else cv2.cvtColor(samples, code))[1].tobytes()


def _encode_by_pillow(samples: np.ndarray, suffix: str, profile: bytes | None) -> bytes:
    """Pillow keeps the colour profile, which OpenCV drops; it has no 16-bit RGB."""
    buffer = io.BytesIO()
    options = {"quality": 95, "subsampling": 0} if suffix in _LOSSY else {"lossless": True} if suffix == ".webp" else {}
    if profile is not None and suffix in _WITH_PROFILE:
        options["icc_profile"] = profile  # type: ignore[assignment]
    Image.fromarray(samples).save(buffer, format=Image.registered_extensions()[suffix], **options)
    return buffer.getvalue()


def _upright(image: np.ndarray, orientation: int) -> np.ndarray:
    """Undo EXIF's orientation of an image (H, W, C): values 2 to 8 of tag 0x0112."""
    if orientation in (5, 6, 7, 8):
        image = image.transpose(1, 0, 2)
    if orientation in (3, 4, 7, 8):
        image = image[::-1]
    if orientation in (2, 3, 6, 7):
        image = image[:, ::-1]
    return image
