"""What C libraries, such as libpng, write to stderr: collected, because it does not name the file."""

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

_MAX_BYTES = 2**16  # that a pipe holds; further ones are dropped


@contextmanager
def library_messages() -> Iterator[list[str]]:
    """Yield a list that holds, after the block, the lines that were written to the process's stderr in it.

    It stays empty in other threads than the main one, which would collect what their neighbours write.
    """
    lines: list[str] = []
    if threading.current_thread() is not threading.main_thread():
        yield lines
        return
    try:
        stderr = os.dup(2)
    except OSError:  # the process was started without one
        yield lines
        return
    with suppress(ValueError):  # Python's own is closed
        sys.stderr.flush()
    reading, writing = os.pipe()
    for end in (reading, writing):
        os.set_blocking(end, False)
    os.dup2(writing, 2)
    os.close(writing)
    try:
        yield lines
    finally:
        with suppress(BlockingIOError):  # nothing was written
            lines += os.read(reading, _MAX_BYTES).decode(errors="replace").splitlines()
        os.dup2(stderr, 2)
        for end in (reading, stderr):
            os.close(end)
