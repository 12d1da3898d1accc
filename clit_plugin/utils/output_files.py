"""Checks of output paths before the work starts, and plain messages for the system's errors."""

import errno
import shutil
import tempfile
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from clit_plugin.utils.byte_sizes import byte_size
from clit_plugin.utils.errors import UserError

_MIN_SPACE = 2**16  # bytes; every output needs at least this much
_REASONS = {
    errno.ENOSPC: "no space left on the disk",
    errno.EDQUOT: "no space left in the quota",
    errno.EROFS: "the file system is read-only",
    errno.EACCES: "no permission",
    errno.EPERM: "no permission",
}


def reason(error: OSError) -> str:
    """Why a file could not be written or read, in a few words."""
    return _REASONS.get(error.errno or 0) or error.strerror or str(error)


def cannot_write(path: str | Path, error: OSError) -> UserError:
    """The UserError to raise in place of an OSError."""
    return UserError(f"{path}: cannot be written ({reason(error)})")


def check_writable(path: Path, *, needed: int = _MIN_SPACE) -> None:
    """Check, before the work, that a file can be written, without leaving anything behind.

    Args:
        path: The file, in a folder that may not exist yet.
        needed: Smallest size of the file in bytes.

    Raises:
        UserError: No permission, a read-only file system, too little space, or a file in place of a parent folder.
    """
    try:
        folder = next(parent for parent in path.absolute().parents if parent.exists())
        if not folder.is_dir():
            raise UserError(f"{path}: cannot be written ({folder} is a file, not a folder)")
        with tempfile.TemporaryFile(dir=folder):
            left = shutil.disk_usage(folder).free
    except OSError as error:
        raise cannot_write(path, error) from error
    if left < needed:
        space = f"it needs {byte_size(needed)} or more, but only {byte_size(left)} are free"
        raise UserError(f"{path}: cannot be written (no space left on the disk: {space})")


def check_replaces_none(outputs: Iterable[Path], inputs: Iterable[tuple[str, str | Path | None]]) -> None:
    """Refuse to overwrite an input, under any name or link.

    Args:
        outputs: Files to write.
        inputs: Kind, such as ``image``, and path of every input; a path may be None.

    Raises:
        UserError: An output is one of the inputs.
    """
    known = {}
    for what, path in inputs:
        with suppress(OSError):  # a missing input is reported when it is read
            if path is not None:
                known[_identity(Path(path).expanduser())] = what, path
    for output in outputs:
        with suppress(OSError):
            if found := known.get(_identity(output)):
                raise UserError(f"{output}: would overwrite {found[1]}, the {found[0]} itself; give another -o")


def _identity(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_dev, status.st_ino
