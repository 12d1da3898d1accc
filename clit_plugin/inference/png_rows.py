"""Writing PNG files row by row. Pillow and OpenCV need the whole image, and drop the profile of a 16-bit one."""

import struct
import zlib
from collections.abc import Iterable, Iterator

import numpy as np

_COLOUR_TYPES = {1: 0, 2: 4, 3: 2, 4: 6}  # by the number of channels
_BLOCK = 2**20  # bytes filtered at a time
_CHUNK = 2**16  # smallest size of an IDAT chunk in bytes


def png_bytes(strips: Iterable[np.ndarray], size: tuple[int, int], profile: bytes | None = None) -> Iterator[bytes]:
    """The bytes of a PNG file.

    Args:
        strips: (rows, W) or (rows, W, 1 to 4), uint8 or uint16, from top to bottom; at least one.
        size: (H, W), the rows of all strips together.
        profile: An ICC profile.

    Yields:
        Parts of the file.
    """
    yield b"\x89PNG\r\n\x1a\n"
    packer, waiting = zlib.compressobj(6), b""
    previous = None
    for strip in strips:
        rows = strip if strip.ndim == 3 else strip[..., None]
        samples, channels = rows.dtype.itemsize, rows.shape[2]
        if previous is None:
            head = (size[1], size[0], 8 * samples, _COLOUR_TYPES[channels], 0, 0, 0)
            yield _chunk(b"IHDR", struct.pack(">IIBBBBB", *head))
            if profile is not None:
                yield _chunk(b"iCCP", b"ICC profile\0\0" + zlib.compress(profile))
            previous = np.zeros(size[1] * channels * samples, np.uint8)
        step = max(1, _BLOCK // len(previous))
        for top in range(0, len(rows), step):
            block = np.ascontiguousarray(rows[top : top + step].astype(">u2" if samples == 2 else np.uint8, copy=False))
            raw = block.view(np.uint8).reshape(len(block), -1)
            waiting += packer.compress(_filtered(raw, previous, channels * samples).tobytes())
            previous = raw[-1]
            if len(waiting) >= _CHUNK:
                yield _chunk(b"IDAT", waiting)
                waiting = b""
    yield _chunk(b"IDAT", waiting + packer.flush())
    yield _chunk(b"IEND", b"")


def _filtered(rows: np.ndarray, previous: np.ndarray, distance: int) -> np.ndarray:
    """Rows (n, 1 + bytes) as PNG stores them: the filter type, then the row filtered with the smallest residue.

    Args:
        rows: (n, bytes), unfiltered.
        previous: (bytes,), the row above the first.
        distance: Bytes per pixel.
    """
    up = np.concatenate([previous[None], rows[:-1]])
    left, corner = (np.pad(each[:, :-distance], ((0, 0), (distance, 0))) for each in (rows, up))
    mean = ((left.astype(np.uint16) + up) >> 1).astype(np.uint8)
    candidates = [rows] + [rows - guess for guess in (left, up, mean, _paeth(left, up, corner))]
    costs = [np.abs(each.view(np.int8).astype(np.int16)).sum(1, dtype=np.int64) for each in candidates]
    best = np.argmin(costs, 0)
    out = np.empty((len(rows), 1 + rows.shape[1]), np.uint8)
    out[:, 0] = best
    for number, each in enumerate(candidates):
        out[best == number, 1:] = each[best == number]
    return out


def _paeth(left: np.ndarray, up: np.ndarray, corner: np.ndarray) -> np.ndarray:
    """The neighbour that is nearest to left + up - corner; PNG specification, section 9.4."""
    a, b, c = (each.astype(np.int16) for each in (left, up, corner))
    to_a, to_b, to_c = np.abs(b - c), np.abs(a - c), np.abs(a + b - 2 * c)
    return np.where((to_a <= to_b) & (to_a <= to_c), left, np.where(to_b <= to_c, up, corner))


def _chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))
