"""BasicSR's ``meta_info.txt``, the list of an LMDB's images."""

import re
from pathlib import Path

from clit_plugin.utils.errors import UserError

# Parsed from the right, as a key may contain spaces and dots: "a b.c.png (480,480,3) 1".
_LINE = re.compile(r"(?P<key>.+)\.\w+ \((?P<height>[1-9]\d*), ?(?P<width>[1-9]\d*), ?(?P<channels>\d+)\)( \d+)?")


def read_meta_info(lmdb_folder: Path) -> dict[str, tuple[int, int]]:
    """List the images of an LMDB made by ``clit prepare`` or by BasicSR's own tools.

    Returns:
        Key -> (height, width), in the order of the file.

    Raises:
        UserError: The folder is missing, incomplete or not such an LMDB; a line of ``meta_info.txt`` is malformed or
            repeats a key; an image has other than 3 channels.
    """
    _check_folder(lmdb_folder)
    meta_info = lmdb_folder / "meta_info.txt"
    sizes: dict[str, tuple[int, int]] = {}
    with meta_info.open(encoding="utf-8", errors="replace") as lines:
        for number, line in enumerate(lines, start=1):
            line = line.rstrip("\n")
            if not line:
                continue
            match = _LINE.fullmatch(line)
            if match is None or not (line.isascii() and line.isprintable()):
                raise UserError(
                    f"{meta_info}, line {number}: expected 'key.png (height,width,3) level' in ASCII, got {line!r}"
                )
            key = match["key"]
            if match["channels"] != "3":
                raise UserError(
                    f"{meta_info}, line {number}: image {key!r} has {match['channels']} channel(s), expected 3; "
                    "make the LMDB anew with 'clit prepare --convert'"
                )
            if key in sizes:
                raise UserError(
                    f"{meta_info}, line {number}: key {key!r} is listed twice, so one image has overwritten the other; "
                    "make the LMDB anew with 'clit prepare', which keeps folder names in the keys"
                )
            sizes[key] = int(match["height"]), int(match["width"])
    if not sizes:
        raise UserError(f"{meta_info}: lists no images")
    return sizes


def _check_folder(folder: Path) -> None:
    unfinished = folder if folder.name.endswith(".partial") else folder.with_name(folder.name + ".partial")
    if unfinished.is_dir() and (unfinished == folder or not folder.exists()):
        raise UserError(f"{unfinished}: the LMDB is incomplete; run the same 'clit prepare' again to finish it")
    if not folder.is_dir():
        raise UserError(f"{folder}: no such LMDB folder; make it with 'clit prepare IMAGES -o {folder}'")
    for name in ("data.mdb", "meta_info.txt"):
        if not (folder / name).is_file():
            raise UserError(f"{folder}: not an LMDB of images, {name} is missing; make it with 'clit prepare'")
