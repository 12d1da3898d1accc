"""One training at a time in a run's folder."""

import fcntl
import os
import socket
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from clit_plugin.utils.errors import UserError


@contextmanager
def lock_runs(folder: Path, names: Iterable[str]) -> Iterator[None]:
    """Keep other processes from training runs of these names; rank 0 holds the locks.

    They are file locks on ``folder/.NAME.lock``, which the system releases when the process ends, however it ends. File
    systems without locks are not protected.

    Raises:
        UserError: Another process, named in the error, holds one of them.
    """
    with ExitStack() as held:
        for name in names if os.environ.get("RANK", "0") == "0" else ():
            held.enter_context(_lock(folder / Path(name).parent / f".{Path(name).name}.lock", name))
        yield


@contextmanager
def _lock(path: Path, name: str) -> Iterator[None]:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = _take(path, name)
    except OSError as error:
        raise UserError(f"{path}: cannot be written ({error.strerror})") from error
    try:
        yield
    finally:
        with suppress(OSError):  # it was removed together with its folder
            path.unlink()
        os.close(file)


def _take(path: Path, name: str) -> int:
    while True:
        file = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            # Owned by the process, not by the open file: DataLoader workers that outlive their trainer do not hold it.
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError) as error:
            owner = os.pread(file, 200, 0).decode(errors="replace").strip() or "another process"
            os.close(file)
            raise UserError(f"name: {name} is being trained by {owner}; wait for it, or choose another name") from error
        except OSError:  # no locks on this file system
            return file
        with suppress(FileNotFoundError):
            if os.stat(path).st_ino == os.fstat(file).st_ino:
                break
        os.close(file)  # its owner removed the file between our opening and locking it
    os.ftruncate(file, 0)
    owner = f"process {os.getpid()} on {socket.gethostname()} since {time.strftime('%Y-%m-%d %H:%M:%S')}"
    os.pwrite(file, f"{owner}\n".encode(), 0)
    return file
