"""Checks of names from the user that become parts of paths."""

import os
from collections.abc import Iterable

from clit_plugin.utils.errors import UserError

# A file system's 255, minus what is added to names: dates of logs and archived folders, fingerprints of results.
_MAX_BYTES = 180
_MAX_FILE_BYTES = 255
_MAX_SHOWN = 60  # characters of a name in an error


def check_path_name(name: object, where: str, what: str) -> None:
    """Check that a name is a plain name of one file or folder.

    Args:
        name: Valid are 1 to 180 bytes of UTF-8, printable, without slashes, and neither ``.`` nor ``..``.
        where: The option, for the error.
        what: What it names, for the error.

    Raises:
        UserError: The name is not valid.
    """
    if not isinstance(name, str) or not name:
        raise UserError(f"{where}: expected {what}, got {name!r}")
    if name in (".", "..") or "/" in name or "\\" in name:
        reason = "a plain name that does not lead to another folder"
    elif not name.isprintable():
        reason = "printable characters"
    elif len(name.encode()) > _MAX_BYTES:
        reason = f"at most {_MAX_BYTES} bytes"
    else:
        return
    shown = name if len(name) <= _MAX_SHOWN else f"{name[:_MAX_SHOWN]}..."
    raise UserError(f"{where}: expected {what}, {reason}; got {shown!r}")


def check_written_names(names: Iterable[tuple[str, str]], ending: str, where: str) -> None:
    """Check that the results of all images can be written and do not overwrite each other.

    Args:
        names: For each image, the name of its result without ``ending``, and the name of the image for errors.
        ending: The rest of the result's name.
        where: The option that requests the results.

    Raises:
        UserError: A name is too long for a file system, or shared by two images.
    """
    owners: dict[str, str] = {}
    for name, image in names:
        if len(os.fsencode(name + ending)) > _MAX_FILE_BYTES:
            raise UserError(f"{where}: the result of {image} would have a name of more than {_MAX_FILE_BYTES} bytes")
        if other := owners.get(name):
            raise UserError(f"{where}: results of {other} and {image} would both be {name}{ending}; rename one")
        owners[name] = image
