"""Image files written strip by strip; JPEG, WebP and BMP, whose sides are bounded, from the whole image."""

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
from clit_plugin.ops.sizes import by
from clit_plugin.utils.atomic_files import replacing
from clit_plugin.utils.errors import UserError

LONGEST_SIDES = {".webp": 16383, ".jpg": 65500, ".jpeg": 65500}  # pixels
_NO_ALPHA = (".jpg", ".jpeg", ".bmp")
_LOSSY = (".jpg", ".jpeg", ".webp")
_16_BITS = (".png", ".tif", ".tiff")
_ROWS = (".png", ".tif", ".tiff")
_JPEG_QUALITY = 95
_TIFF_STRIP = 2**18  # bytes, about


@dataclass(frozen=True, kw_only=True)
class Layout:
    """What a file is to hold.

    Attributes:
        size: (H, W).
        grey: One colour channel instead of three.
        alpha: Whether there is an alpha channel behind the colours.
        bits: 8 or 16 a sample.
        profile: The ICC profile of the colours.
    """

    size: tuple[int, int]
    grey: bool = False
    alpha: bool = False
    bits: int = 8
    profile: bytes | None = None

    @property
    def channels(self) -> int:
        """Of a pixel."""
        return (1 if self.grey else 3) + self.alpha


def check_output_format(path: Path) -> None:
    """Raise UserError unless the suffix is that of a format that can be written."""
    if path.suffix.lower() not in IMAGE_SUFFIXES:
        raise UserError(f"{path}: unknown image format; the name should end in one of {', '.join(IMAGE_SUFFIXES)}")


def check_layout(path: Path, layout: Layout, source: str | Path) -> None:
    """Raise UserError where the format of ``path`` would lose transparency, or has no images of this size."""
    longest = LONGEST_SIDES.get(path.suffix.lower())
    if longest is not None and max(layout.size) > longest:
        raise UserError(f"{path}: {by(layout.size)} is more than {path.suffix} holds ({longest}); write a .png")
    if layout.alpha and path.suffix.lower() in _NO_ALPHA:
        raise UserError(f"{path}: {path.suffix} has no transparency, which {source} has; write a .png")


def is_lossy(path: Path) -> bool:
    """Whether the format of ``path`` has a quality."""
    return path.suffix.lower() in _LOSSY


def bits_of(path: Path, bits: int) -> int:
    """Bits a sample that the format of ``path`` holds of so many."""
    return bits if path.suffix.lower() in _16_BITS else 8


def kept_bytes(path: Path, layout: Layout) -> int:
    """Bytes a pixel that writing keeps: none where it goes strip by strip, else samples, and Pillow's copy."""
    return 0 if path.suffix.lower() in _ROWS else layout.channels + 4


def write_strips(path: Path, layout: Layout, strips: Iterable[np.ndarray], *, quality: int | None = None) -> None:
    """Write an image whole or not at all, in the format of the suffix.

    Args:
        path: The file.
        layout: Of the samples, with bits that the format has.
        strips: (rows, W, channels), or (rows, W) of one channel, from top to bottom.
        quality: 1 to 100, of JPEG (95 by default) and WebP (lossless by default).

    Raises:
        UserError: It cannot be written.
    """
    suffix = path.suffix.lower()
    with replacing(path) as partial, partial.open("wb") as file:
        if suffix == ".png":
            file.writelines(png_bytes(strips, layout.size, layout.profile))
        elif suffix in _ROWS:
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
        # Colours at half the size would undo a part of the work; small files are wanted below.
        options = {"quality": quality, "subsampling": 0 if quality >= 90 else 2}
    if layout.profile is not None and suffix != ".bmp":
        options["icc_profile"] = layout.profile
    Image.fromarray(samples).save(file, format=Image.registered_extensions()[suffix], **options)


def _write_tiff(file: BinaryIO, layout: Layout, strips: Iterable[np.ndarray]) -> None:
    """Deflated strips behind horizontal differences."""
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
    """TIFF's strips of so many rows, from strips of any number."""
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
