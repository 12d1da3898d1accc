"""The image files that go into an LMDB, and their encoding."""

import io
import os
import stat
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2

from clit_plugin.data.image_header import check_decodable, read_header
from clit_plugin.data.image_io import BYTES_PER_PIXEL, IMAGE_SUFFIXES, decode_rgb
from clit_plugin.data.lmdb_files.writer import COMPRESS_LEVEL, EncodedImage, lmdb_key
from clit_plugin.utils.console import warn
from clit_plugin.utils.errors import UserError


def find_sources(folder: Path, *, keep_extension: bool = False) -> dict[str, list[int]]:
    """Find the images in ``folder`` and below it; hidden files and folders are skipped.

    Args:
        folder: Where to look.
        keep_extension: As in ``lmdb_key``: files may then differ in the extension alone.

    Returns:
        Relative path, with '/' as separator -> [size in bytes, modification time in ns], sorted by path.

    Raises:
        UserError: As ``find_images``, or two images with the same key.
    """
    sources: dict[str, list[int]] = {}
    named: dict[str, str] = {}
    with _reading_errors():
        for relative in find_images(folder):
            key = lmdb_key(relative, keep_extension=keep_extension)
            if key in named:
                raise UserError(
                    f"{folder}: {named[key]} and {relative} would both get the key {key!r}; rename or remove one, or "
                    "make an LMDB of the folder with 'clit prepare --keep-extension'"
                )
            named[key] = relative
            status = (folder / relative).stat()
            sources[relative] = [status.st_size, status.st_mtime_ns]
    return sources


def find_images(folder: Path) -> list[str]:
    """Relative paths of the images in ``folder`` and below it, sorted, with '/' as separator; hidden ones are skipped.

    Raises:
        UserError: No such folder, no images in it, or one that is not a regular file.
    """
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder of images")
    with _reading_errors():
        images = sorted(path.relative_to(folder).as_posix() for path in _walk(folder))
    if not images:
        raise UserError(f"{folder}: no images in it or its subfolders; looked for {', '.join(IMAGE_SUFFIXES)}")
    return images


def encode_source(
    *, folder: Path, source: str, sub_image: int | None, step: int | None, convert: bool, keep_extension: bool = False
) -> list[EncodedImage]:
    """Decode an image file and encode it as PNG: whole, or cropped to ``sub_image`` squares at ``crop_starts``.

    Crops are numbered row by row, in BasicSR's notation (``extract_subimages.py``): ``_s001``, ``_s002``, ...

    Raises:
        UserError: The file cannot be read, is refused by ``decode_rgb``, or is smaller than the crop.
    """
    path = folder / source
    with _reading_errors():
        content = path.read_bytes()
    header = read_header(io.BytesIO(content))
    if header is not None:
        check_decodable(header, str(path), bytes_per_pixel=BYTES_PER_PIXEL)
        if header.frames > 1:
            warn(f"{path}: holds {header.frames} frames or pages; only the first is used")
    bgr = cv2.cvtColor(decode_rgb(content, str(path), convert=convert), cv2.COLOR_RGB2BGR)
    height, width = bgr.shape[:2]
    if sub_image is None or step is None:
        crops = {lmdb_key(source, keep_extension=keep_extension): bgr}
    elif sub_image > min(height, width):
        raise UserError(
            f"{path}: {width}x{height} is smaller than a sub-image of {sub_image}x{sub_image}; "
            f"remove the file, or give --sub-image {min(height, width)} or less"
        )
    else:
        corners = [
            (top, left)
            for top in crop_starts(height, size=sub_image, step=step)
            for left in crop_starts(width, size=sub_image, step=step)
        ]
        crops = {
            lmdb_key(source, suffix=f"_s{number:03d}", keep_extension=keep_extension): bgr[
                top : top + sub_image, left : left + sub_image
            ]
            for number, (top, left) in enumerate(corners, start=1)
        }
    return [
        EncodedImage(
            key=key,
            height=crop.shape[0],
            width=crop.shape[1],
            png=cv2.imencode(".png", crop, [cv2.IMWRITE_PNG_COMPRESSION, COMPRESS_LEVEL])[1].tobytes(),
        )
        for key, crop in crops.items()
    ]


def crop_starts(length: int, *, size: int, step: int) -> list[int]:
    """Starts of crops of ``size`` along ``length`` >= ``size`` pixels: 0, step, 2 step, ... and one at the border."""
    starts = list(range(0, length - size + 1, step))
    if starts[-1] + size < length:
        starts.append(length - size)
    return starts


def _walk(folder: Path) -> Iterator[Path]:
    """The image files below a folder, following links. Every folder is visited once, by its own path if it has one.

    Links that lead back or up therefore do not recurse forever.
    """
    seen = {_identity(parent) for parent in folder.resolve().parents}
    folders, links = [folder], deque[Path]()
    while folders or links:
        current = folders.pop() if folders else links.popleft()
        identity = _identity(current)
        if identity in seen:
            continue
        seen.add(identity)
        with os.scandir(current) as entries:
            for entry in sorted(entries, key=lambda entry: entry.name):
                if entry.name.startswith("."):
                    continue
                if entry.is_dir():
                    (links if entry.is_symlink() else folders).append(Path(entry.path))
                elif entry.name.lower().endswith(IMAGE_SUFFIXES):
                    if not stat.S_ISREG(entry.stat().st_mode):  # reading it might block forever
                        raise UserError(f"{entry.path}: is a pipe or a device, not a file; remove it")
                    yield Path(entry.path)


def _identity(folder: Path) -> tuple[int, int]:
    status = folder.stat()
    return status.st_dev, status.st_ino


@contextmanager
def _reading_errors() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UserError(f"{error.filename}: cannot be read ({error.strerror})") from error
