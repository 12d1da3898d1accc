"""Writing image files: PNG and TIFF strip by strip; JPEG, WebP and BMP, whose size is limited, from the whole image."""

import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
import tifffile
from PIL import Image

from clit_plugin.data.image_io import IMAGE_SUFFIXES
from clit_plugin.inference.png_rows import png_bytes
from clit_plugin.ops.sizes import wxh
from clit_plugin.utils.atomic_files import replacing
from clit_plugin.utils.errors import UserError

MAX_SIDES = {".webp": 16383, ".jpg": 65500, ".jpeg": 65500}  # pixels
_NO_ALPHA = (".jpg", ".jpeg", ".bmp")
_LOSSY = (".jpg", ".jpeg", ".webp")
_16_BITS = (".png", ".tif", ".tiff")
_STREAMED = (".png", ".tif", ".tiff")
_JPEG_QUALITY = 95
_TIFF_STRIP = 2**18  # bytes, about


@dataclass(frozen=True, kw_only=True)
class Layout:
    """The kind of samples that a file holds.

    Attributes:
        size: (H, W).
        grey: One colour channel instead of three.
        alpha: Whether an alpha channel follows the colours.
        bits: Bits per sample, 8 or 16.
        profile: The ICC profile of the colours.
    """

    size: tuple[int, int]
    grey: bool = False
    alpha: bool = False
    bits: int = 8
    profile: bytes | None = None

    @property
    def channels(self) -> int:
        """Channels per pixel, alpha included."""
        return (1 if self.grey else 3) + self.alpha


def check_output_format(path: Path) -> None:
    """Raise UserError unless the suffix names a format that can be written."""
    if path.suffix.lower() not in IMAGE_SUFFIXES:
        raise UserError(f"{path}: unknown image format; give a name that ends in one of {', '.join(IMAGE_SUFFIXES)}")


def check_layout(path: Path, layout: Layout, source: str | Path) -> None:
    """Raise UserError if the format of ``path`` cannot hold the layout's transparency or size."""
    longest = MAX_SIDES.get(path.suffix.lower())
    if longest is not None and max(layout.size) > longest:
        raise UserError(
            f"{path}: {wxh(layout.size)} exceeds the {longest} pixels per side of {path.suffix}; write a .png"
        )
    if layout.alpha and path.suffix.lower() in _NO_ALPHA:
        raise UserError(f"{path}: {path.suffix} cannot hold the transparency of {source}; write a .png")


def is_lossy(path: Path) -> bool:
    """Whether the format of ``path`` has a quality setting."""
    return path.suffix.lower() in _LOSSY


def bits_of(path: Path, bits: int) -> int:
    """Bits per sample when ``bits`` are written in the format of ``path``."""
    return bits if path.suffix.lower() in _16_BITS else 8


def kept_bytes(path: Path, layout: Layout) -> int:
    """Bytes per pixel held until the file is written: none if streamed, else the samples and Pillow's copy."""
    return 0 if path.suffix.lower() in _STREAMED else layout.channels + 4


def write_strips(path: Path, layout: Layout, strips: Iterable[np.ndarray], *, quality: int | None = None) -> None:
    """Write an image atomically, in the format of the suffix.

    Args:
        path: The file.
        layout: Layout of the samples; the format must support its bits.
        strips: (rows, W, channels), or (rows, W) for one channel, from top to bottom.
        quality: 1 to 100, for JPEG (default 95) and WebP (default lossless).

    Raises:
        UserError: It cannot be written.
    """
    suffix = path.suffix.lower()
    with replacing(path) as partial, partial.open("wb") as file:
        if suffix == ".png":
            file.writelines(png_bytes(strips, layout.size, layout.profile))
        elif suffix in _STREAMED:
            _write_tiff(file, layout, strips)
        else:
            samples = np.concatenate(list(strips))
            try:
                _write_by_pillow(file, layout, samples, suffix, quality)
            except ValueError as error:
                raise UserError(f"{path}: cannot be written as {suffix} ({' '.join(str(error).split())})") from error


def _write_by_pillow(file: BinaryIO, layout: Layout, samples: np.ndarray, suffix: str, quality: int | None) -> None:
    options: dict[str, object] = {}
    if suffix == ".webp":
        options = {"lossless": True} if quality is None else {"quality": quality}
    elif suffix in _LOSSY:
        quality = quality or _JPEG_QUALITY
        # Chroma subsampling would undo part of the upscaling; below 90, small files matter more.
        options = {"quality": quality, "subsampling": 0 if quality >= 90 else 2}
    if layout.profile is not None and suffix != ".bmp":
        options["icc_profile"] = layout.profile
    Image.fromarray(samples).save(file, format=Image.registered_extensions()[suffix], **options)


def _write_tiff(file: BinaryIO, layout: Layout, strips: Iterable[np.ndarray]) -> None:
    """Deflate-compressed strips with the horizontal predictor."""
    height, width = layout.size
    dtype = np.dtype(np.uint16 if layout.bits == 16 else np.uint8)
    row = width * layout.channels * dtype.itemsize
    rows = max(1, min(height, _TIFF_STRIP // row))
    with tifffile.TiffWriter(file, bigtiff=height * row > 2**31, byteorder="<") as writer:
        writer.write(
            _deflated(strips, rows),
            shape=(height, width) if layout.channels == 1 else (height, width, layout.channels),
            dtype=dtype,
            photometric="minisblack" if layout.grey else "rgb",
            planarconfig=None if layout.channels == 1 else "contig",
            extrasamples=["unassalpha"] if layout.alpha else None,
            compression="adobe_deflate",
            predictor=2,
            rowsperstrip=rows,
            iccprofile=layout.profile,
            metadata=None,
            software=False,
        )


def _deflated(strips: Iterable[np.ndarray], rows: int) -> Iterator[bytes]:
    """TIFF strips of ``rows`` rows, from strips of any height."""
    waiting: np.ndarray | None = None
    for strip in strips:
        waiting = strip if waiting is None else np.concatenate([waiting, strip])
        whole = len(waiting) // rows * rows
        for top in range(0, whole, rows):
            yield _deflate(waiting[top : top + rows])
        waiting = waiting[whole:]
    if waiting is not None and len(waiting):
        yield _deflate(waiting)


def _deflate(rows: np.ndarray) -> bytes:
    differences = rows.copy()
    differences[:, 1:] -= rows[:, :-1]
    return zlib.compress(differences.astype(differences.dtype.newbyteorder("<"), copy=False).tobytes(), 6)
