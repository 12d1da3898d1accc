"""Checks that an LMDB is complete, from its header and before it is mapped, and that it agrees with its list.

LMDB maps a truncated data file without complaint; reading beyond its end then kills the process (SIGBUS).
"""

import struct
from collections.abc import Mapping, Sequence
from pathlib import Path

import lmdb

from clit_plugin.ops.sizes import Size, wxh
from clit_plugin.utils.console import warn
from clit_plugin.utils.errors import UserError

# LMDB's MDB_meta, which starts each of the first two pages after a page header of 16 bytes: magic, version, address and
# size of the map; two MDB_db of 48 bytes, the first of which starts with the page size; last page, transaction.
_META = struct.Struct("<16x I I 8x 8x I 44x 48x Q Q")
_MAGIC = 0xBEEFC0DE
_PNG = b"\x89PNG\r\n\x1a\n"
_LOOKED_INTO = 256  # images whose sizes are compared; each costs a seek
_AGAIN = "copy it again, or make it anew with 'clit prepare'"


def check_data_file(folder: Path) -> None:
    """Check that ``data.mdb`` has the length that its header says.

    Raises:
        UserError: It is truncated, or not a data file of LMDB.
    """
    path = folder / "data.mdb"
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            first = _meta(file.read(_META.size))
            if first is not None:
                file.seek(first[0])
                second = _meta(file.read(_META.size))
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from error
    if first is None:
        raise UserError(f"{path}: not a data file of LMDB, or damaged; {_AGAIN}")
    if second is None:
        raise UserError(f"{path}: truncated or damaged; {_AGAIN}")
    page_size, last_page, _ = max(first, second, key=lambda meta: meta[2])
    needed = (last_page + 1) * page_size
    if size < needed:
        raise UserError(f"{path}: truncated, it has {size} of {needed} bytes; {_AGAIN}")


def check_listed(folder: Path, env: lmdb.Environment, sizes: Mapping[str, tuple[int, int]]) -> None:
    """Compare an open LMDB with its list: all keys, and the sizes of a few hundred images, including the largest.

    Warns of images that are stored but not listed.

    Args:
        folder: Folder of the LMDB, for errors.
        env: The LMDB.
        sizes: (H, W) by key, from ``meta_info.txt``.

    Raises:
        UserError: A listed image is missing or of another size, or the LMDB cannot be read.
    """
    try:
        with env.begin(buffers=True) as transaction:
            stored = {bytes(key) for key in transaction.cursor().iternext(values=False)}
            missing = [name for name in sizes if name.encode("ascii") not in stored]
            found = {name: transaction.get(name.encode("ascii")) for name in _some(sizes)}
            heads = {name: bytes(content[:24]) for name, content in found.items() if content is not None}
    except lmdb.Error as error:
        raise UserError(f"{folder}: cannot be read ({error}); {_AGAIN}") from error
    if missing:
        raise UserError(
            f"{folder}: meta_info.txt lists {len(missing)} image(s) that data.mdb does not hold ({missing[0]!r}, ...); "
            f"the two do not belong together, {_AGAIN}"
        )
    for name, head in heads.items():
        if head[:8] == _PNG and (size := _png_size(head)) != sizes[name]:
            raise UserError(
                f"{folder}: meta_info.txt lists {name!r} as {wxh(sizes[name])}, but data.mdb holds {wxh(size)}; "
                f"the two do not belong together, {_AGAIN}"
            )
    if len(stored) > len(sizes):
        warn(f"{folder}: {len(stored) - len(sizes)} of {len(stored)} images are not in meta_info.txt and are ignored")


def _meta(head: bytes) -> tuple[int, int, int] | None:
    """Page size, last page and transaction, from the first bytes of a page; None if they are not LMDB's."""
    if len(head) < _META.size:
        return None
    magic, _, page_size, last_page, transaction = _META.unpack(head)
    return (page_size, last_page, transaction) if magic == _MAGIC and 256 <= page_size <= 65536 else None


def _png_size(head: bytes) -> Size:
    """(H, W) from the first 24 bytes of a PNG."""
    width, height = struct.unpack(">II", head[16:24])
    return height, width


def _some(sizes: Mapping[str, tuple[int, int]]) -> Sequence[str]:
    """The largest images, and others at even distances."""
    by_size = sorted(sizes, key=lambda name: sizes[name][0] * sizes[name][1], reverse=True)
    return [*by_size[: _LOOKED_INTO // 8], *list(sizes)[:: max(1, len(sizes) // _LOOKED_INTO)]]
