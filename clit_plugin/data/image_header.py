"""The header of an image file, read by Pillow before OpenCV decodes the pixels."""

import struct
from pathlib import Path
from typing import IO, BinaryIO, NamedTuple

from PIL import Image, ImageFile

from clit_plugin.ops.sizes import wxh
from clit_plugin.utils.byte_sizes import byte_size
from clit_plugin.utils.errors import UserError
from clit_plugin.utils.memory_left import memory_left

# Pillow's limit would refuse legitimate images. Pillow decodes nothing here, and check_decodable checks the memory.
Image.MAX_IMAGE_PIXELS = None
_MAX_PIXELS, _MAX_SIDE = 2**30, 2**20  # OpenCV's limits
_WITH_PROFILE = ("RGB", "RGBA", "L", "LA", "P", "I", "I;16", "I;16B", "I;16L")
_FOREIGN_COLOURS = ("CMYK", "LAB", "HSV", "YCbCr")


class Header(NamedTuple):
    """What must be known before decoding.

    Attributes:
        size: (H, W) as stored.
        mode: Pillow's mode: RGB, L, P, CMYK, ...
        bits_16: Whether the samples have 16 bits.
        transparency: Whether a transparent colour is declared, other than by an alpha channel.
        clear_grey: The value, in 8 or 16 bits, that a grey image declares transparent, or None.
        frames: Number of frames or pages; 1 for a single image.
        orientation: EXIF orientation, 1 to 8, that is left to apply after OpenCV's decoder.
        profile: ICC profile of RGB and grey images, or None.
    """

    size: tuple[int, int]
    mode: str
    bits_16: bool = False
    transparency: bool = False
    clear_grey: int | None = None
    frames: int = 1
    orientation: int = 1
    profile: bytes | None = None

    @property
    def upright_size(self) -> tuple[int, int]:
        """(H, W) after the orientation is applied."""
        return self.size[::-1] if self.orientation in (5, 6, 7, 8) else self.size


def read_header(file: Path | BinaryIO) -> Header | None:
    """The header of an image file; None if Pillow cannot read it."""
    try:
        with Image.open(file) as image:
            info, tiles = image.info, image.tile
            orientation = _orientation(image)
            profile = info.get("icc_profile") if image.mode in _WITH_PROFILE else None
            # Many cameras store a preview as a second frame (MPO).
            frames = 1 if image.format == "MPO" else getattr(image, "n_frames", 1)
            return Header(
                size=(image.size[1], image.size[0]),
                mode=image.mode,
                bits_16=any(";16" in str(tile) for tile in tiles),
                transparency="transparency" in info,
                clear_grey=_clear_grey(info.get("transparency"), str(tiles[0].args)) if tiles else None,
                frames=frames,
                orientation=orientation,
                profile=profile or None,
            )
    except Exception:  # a damaged file makes Pillow raise almost anything
        return None


def check_decodable(header: Header, name: str, *, bytes_per_pixel: int) -> None:
    """Refuse, before decoding, colour spaces other than RGB and grey, and images too large for the memory.

    Args:
        header: Header of the file.
        name: The file in errors.
        bytes_per_pixel: Memory that decoding takes per pixel.

    Raises:
        UserError: CMYK, LAB and the like; more pixels than OpenCV accepts; more than the available memory.
    """
    height, width = header.size
    if header.mode in _FOREIGN_COLOURS:
        raise UserError(f"{name}: holds {header.mode} colours; convert it to RGB with a program that knows its profile")
    if height * width > _MAX_PIXELS or max(height, width) > _MAX_SIDE:
        raise UserError(f"{name}: claims {wxh(header.size)} pixels, more than can be decoded; replace or remove it")
    needed, left = height * width * bytes_per_pixel, memory_left()
    if left is not None and needed > left:
        raise UserError(
            f"{name}: claims {wxh(header.size)} pixels, which take about {byte_size(needed)}, but only "
            f"{byte_size(left)} of memory are free; crop or remove it"
        )


def _orientation(image: ImageFile.ImageFile) -> int:
    """EXIF orientation, without the decoding that Pillow does for a PNG whose EXIF chunk follows the pixels."""
    if image.format == "TIFF":  # OpenCV's decoder applies it itself
        return 1
    if image.format == "PNG" and image.fp is not None and "exif" not in image.info and (exif := _late_exif(image.fp)):
        image.info["exif"] = exif
    return int(Image.Image.getexif(image).get(0x0112, 1))


def _late_exif(file: IO[bytes]) -> bytes:
    """A PNG's eXIf chunk that follows the pixels, or nothing."""
    file.seek(8)
    while len(head := file.read(8)) == 8:
        length, kind = struct.unpack(">I4s", head)
        if kind == b"eXIf":
            return file.read(length)
        file.seek(length + 4, 1)
    return b""


def _clear_grey(transparency: object, raw_mode: str) -> int | None:
    """The transparent grey of a PNG, which declares it in the file's bit depth; OpenCV decodes 8 bits."""
    if not isinstance(transparency, int) or not raw_mode.startswith(("L", "1", "I")):
        return None
    return transparency * {"L;2": 85, "L;4": 17}.get(raw_mode, 1)
