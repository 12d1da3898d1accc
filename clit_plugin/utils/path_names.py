"""One rule for all user-given names that become parts of paths."""

import os
from collections.abc import Iterable

from clit_plugin.utils.errors import UserError

# A file system's 255, less what is added to a name: dates of logs and archived folders, fingerprints of results.
_LONGEST = 180
_LONGEST_FILE = 255
_SHOWN = 60


def check_path_name(name: object, where: str, what: str) -> None:
    """Refuse what is not a plain name of one file or folder.

    Args:
        name: Accepted: 1 to 180 bytes of UTF-8, printable, without slashes, and neither ``.`` nor ``..``.
        where: The option, for the error.
        what: What it names, for the error.

    Raises:
        UserError: Anything else.
    """
    if not isinstance(name, str) or not name:
        raise UserError(f"{where}: expected {what}, got {name!r}")
    if name in (".", "..") or "/" in name or "\\" in name:
        reason = "a plain name, which leads to no other folder"
    elif not name.isprintable():
        reason = "printable characters"
    elif len(name.encode()) > _LONGEST:
        reason = f"at most {_LONGEST} bytes"
    else:
        return
    shown = name if len(name) <= _SHOWN else f"{name[:_SHOWN]}..."
    raise UserError(f"{where}: expected {what}, {reason}; got {shown!r}")


def check_written_names(names: Iterable[tuple[str, str]], ending: str, where: str) -> None:
    """Refuse images whose results could not be written, or would overwrite each other.

    Args:
        names: For each image, the name of its result without ``ending``, and the image as errors name it.
        ending: What follows in the result's name.
        where: The option that asks for the results.

    Raises:
        UserError: A name that no file system takes, or one that two images share.
    """
    owners: dict[str, str] = {}
    for name, image in names:
        if len(os.fsencode(name + ending)) > _LONGEST_FILE:
            raise UserError(f"{where}: the result of {image} would have a name of more than {_LONGEST_FILE} bytes")
        if other := owners.get(name):
            raise UserError(f"{where}: results of {other} and {image} would both be {name}{ending}; rename one")
        owners[name] = image
