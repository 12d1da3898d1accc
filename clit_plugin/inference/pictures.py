"""Images of any common kind as float RGB, and back: grey, alpha, 16 bits, EXIF orientation, colour profile."""

import io
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageOps
from torch import Tensor

from clit_plugin.data.image_header import Header, check_decodable, read_header
from clit_plugin.inference.picture_files import Layout, bits_of, check_layout, write_strips
from clit_plugin.ops.coordinates import Size, pixel_centres
from clit_plugin.ops.parts import Span
from clit_plugin.ops.pixels import to_samples, to_tensor
from clit_plugin.utils.console import warn
from clit_plugin.utils.errors import UserError
from clit_plugin.utils.library_messages import library_messages
from clit_plugin.utils.output_files import check_replaces_none, check_writable, reason

_LUMA = (0.299, 0.587, 0.114)
_BYTES_PER_PIXEL = 36  # while reading an image: decoded samples, and two copies in float32


@dataclass(frozen=True, kw_only=True)
class Picture:
    """An image file's content.

    Attributes:
        rgb: (3, H, W) float32 in [0, 1]; three equal channels for a grey image.
        alpha: (1, H, W) float32 in [0, 1], 1 is opaque; or None.
        grey: Whether the file has a single colour channel.
        bits: Bits per sample, 8 or 16.
        profile: The ICC profile of the colours, or None if the file has none.
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
        """The same kind of picture with an upscaled ``rgb`` (3, H, W); alpha is resized bicubically."""
        height, width = rgb.shape[-2:]
        return replace(self, rgb=rgb, alpha=self.alpha_part((height, width), (0, height), (0, width)))

    def alpha_part(self, size: Size, rows: Span, columns: Span) -> Tensor | None:
        """Rows and columns (1, h, w) of alpha resized bicubically to ``size`` (H, W), as by ``F.interpolate``."""
        if self.alpha is None:
            return None
        y, x = (pixel_centres(n)[slice(*span)] for n, span in zip(size, (rows, columns), strict=True))
        grid = torch.stack(torch.meshgrid(y, x, indexing="ij"), -1).flip(-1)  # grid_sample's order is (x, y)
        sampled = F.grid_sample(
            self.alpha[None], grid[None], mode="bicubic", padding_mode="border", align_corners=False
        )
        return sampled[0]

    def layout(self, path: Path, size: tuple[int, int]) -> Layout:
        """Layout of a file of this kind at ``size`` (H, W); 16 bits become 8 if the format has no 16."""
        return Layout(
            size=size,
            grey=self.grey,
            alpha=self.alpha is not None,
            bits=bits_of(path, self.bits),
            profile=self.profile,
        )


def read_picture(path: str | Path) -> Picture:
    """Read an image and apply its EXIF orientation.

    Raises:
        UserError: A missing or unreadable file, an unsupported kind (floats, 32 bits, more than four channels, CMYK,
            LAB), or an image that does not fit into memory.
    """
    try:
        content = _regular(path).read_bytes()
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({reason(error)})") from error
    return decode_picture(content, path)


def decode_picture(content: bytes, path: str | Path) -> Picture:
    """Decode an image file's content; ``path`` names it in errors, which are those of ``read_picture``."""
    header = read_header(io.BytesIO(content)) or Header(size=(0, 0), mode="")  # a format that only OpenCV reads
    check_decodable(header, str(path), bytes_per_pixel=_BYTES_PER_PIXEL)
    if header.frames > 1:
        warn(f"{path}: holds {header.frames} frames or pages; only the first is used")
    with library_messages() as messages:
        image = _decode(content, header)
    if image is None:
        raise UserError(f"{path}: not a readable image (empty, damaged or of an unknown format)")
    if damage := [line for line in messages if not line.startswith("libpng warning")]:  # about profiles and the like
        warn(f"{path}: is damaged, and what is left of it is used ({damage[0]})")
    if image.dtype not in (np.uint8, np.uint16):
        raise UserError(f"{path}: samples of {image.dtype} are not supported; save it with 8 or 16 bits")
    if image.ndim == 2:
        image = image[..., None]
    channels = image.shape[2]
    if channels > 4:
        raise UserError(f"{path}: has {channels} channels; 1 to 4 are supported (grey or RGB, with or without alpha)")
    image = _upright(image, header.orientation)
    floats = to_tensor(image)
    grey = channels <= 2 or header.mode == "LA"  # which OpenCV reads as four channels
    colours = floats[:1].repeat(3, 1, 1) if grey else floats[:3].flip(0)
    alpha = floats[-1:] if channels in (2, 4) else None
    if channels == 1 and header.clear_grey is not None:
        alpha = torch.from_numpy((image.transpose(2, 0, 1) != header.clear_grey).astype(np.float32))
    return Picture(rgb=colours.contiguous(), alpha=alpha, grey=grey, bits=8 * image.itemsize, profile=header.profile)


def _decode(content: bytes, header: Header) -> np.ndarray | None:
    """An image as OpenCV reads it, or None. OpenCV's log is silenced: our own error names a damaged file."""
    # Of such TIFFs, OpenCV multiplies the colours by alpha.
    if content[:2] in (b"II", b"MM") and header.mode == "RGBA" and not header.bits_16:
        try:
            with Image.open(io.BytesIO(content)) as image:
                return np.asarray(ImageOps.exif_transpose(image))[..., [2, 1, 0, 3]]
        except Exception:  # a damaged file makes Pillow raise almost anything
            return None
    level = cv2.utils.logging.getLogLevel()
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    try:
        return cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED) if content else None
    except cv2.error:  # a header that claims more pixels than OpenCV allows
        return None
    finally:
        cv2.utils.logging.setLogLevel(level)


def picture_size(path: str | Path) -> tuple[int, int] | None:
    """(H, W) of an upright image, from the file's header; None if the header does not state it.

    Raises:
        UserError: No such file, or a header for which ``read_picture`` would refuse it.
    """
    try:
        header = read_header(_regular(path))
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({reason(error)})") from error
    if header is None:
        return None
    check_decodable(header, str(path), bytes_per_pixel=_BYTES_PER_PIXEL)
    return header.upright_size


def _regular(path: str | Path) -> Path:
    """The path of a regular file; raises UserError for a pipe or a device, which might block forever."""
    if not stat.S_ISREG(Path(path).stat().st_mode):
        raise UserError(f"{path}: no such image; it is a folder, a pipe or a device")
    return Path(path)


def check_new_png(name: str, inputs: Iterable[tuple[str, str | None]], *, overwrite: bool) -> Path:
    """Check the output path of a figure, and return it.

    Args:
        name: The path on the command line.
        inputs: The files that are read for the figure, as for ``check_replaces_none``.
        overwrite: Whether an existing file may be replaced.

    Raises:
        UserError: Another suffix, an existing file, one of the inputs, or a file that cannot be written.
    """
    path = Path(name).expanduser()
    if path.suffix.lower() != ".png":
        raise UserError(f"{path}: figures are PNG files; give a name that ends in .png")
    if path.is_dir() or (path.exists() and not overwrite):
        raise UserError(f"{path}: already exists; --overwrite replaces a file")
    check_replaces_none([path], inputs)
    check_writable(path)
    return path


def check_output_kind(path: Path, picture: Picture, source: str | Path, size: tuple[int, int]) -> None:
    """Raise UserError if the format of ``path`` cannot hold the picture's transparency or ``size`` (H, W)."""
    check_layout(path, picture.layout(path, size), source)


def write_picture(path: Path, picture: Picture, *, quality: int | None = None) -> None:
    """Write a file atomically, in the format of its suffix; 16 bits become 8 if the format has no 16.

    Raises:
        UserError: It cannot be written.
    """
    layout = picture.layout(path, picture.size)
    check_layout(path, layout, path)
    write_strips(path, layout, [to_pixels(layout, picture.rgb, picture.alpha)], quality=quality)


def write_upscaled(
    path: Path, picture: Picture, size: tuple[int, int], strips: Iterable[Tensor], *, quality: int | None = None
) -> None:
    """Write an upscaled picture strip by strip; alpha is resized bicubically.

    Args:
        path: The file.
        picture: The picture that was upscaled.
        size: (H, W) of the output.
        strips: (3, rows, W), from top to bottom.
        quality: As in ``write_strips``.

    Raises:
        UserError: It cannot be written.
    """
    layout = picture.layout(path, size)

    def pixels() -> Iterator[np.ndarray]:
        top = 0
        for strip in strips:
            rows = (top, top + strip.shape[1])
            alpha = picture.alpha_part(size, rows, (0, size[1]))
            yield to_pixels(layout, strip, alpha)
            top = rows[1]

    write_strips(path, layout, pixels(), quality=quality)


def to_pixels(layout: Layout, rgb: Tensor, alpha: Tensor | None) -> np.ndarray:
    """Samples (H, W, channels), or (H, W) for one channel, from RGB (3, H, W) and alpha (1, H, W) in about [0, 1]."""
    if layout.grey:
        rgb = luma(rgb)
    return to_samples(rgb if alpha is None else torch.cat([rgb, alpha.to(rgb.device)]), layout.bits)


def luma(rgb: Tensor) -> Tensor:
    """Luma (1, H, W) of RGB (3, H, W)."""
    return (rgb * torch.tensor(_LUMA, device=rgb.device).view(3, 1, 1)).sum(0, keepdim=True)


def _upright(image: np.ndarray, orientation: int) -> np.ndarray:
    """Turn an image (H, W, C) upright by its EXIF orientation, values 2 to 8 of tag 0x0112."""
    if orientation in (5, 6, 7, 8):
        image = image.transpose(1, 0, 2)
    if orientation in (3, 4, 7, 8):
        image = image[::-1]
    if orientation in (2, 3, 6, 7):
        image = image[:, ::-1]
    return image
