"""Runs a command: one line on stderr for every error that a user can correct, and a meaningful exit status."""

import errno
import os
import sys
from collections.abc import Callable

from clit_plugin.utils.errors import IncompleteError, UserError
from clit_plugin.utils.output_files import reason

INTERRUPTED = 130  # 128 + SIGINT, as shells report it


def exit_status(program: str, work: Callable[[], int | None], *, interrupted: str = "") -> int:
    """Do the work and report its errors on stderr.

    Args:
        program: Prefix of every message, such as ``clit train``.
        work: The work; returns an exit status, where None is 0.
        interrupted: Message after an interruption: what is kept, and how to continue.

    Returns:
        0 done, 1 partly failed, 2 bad input, 130 interrupted. Unexpected exceptions are not caught.
    """

    def report(message: str) -> None:
        sys.stderr.write(f"{program}: error: {_one_line(message)}\n")

    try:
        status = work() or 0
        sys.stdout.flush()
        return status
    except UserError as error:
        for problem in error.problems:
            report(problem)
        return 1 if isinstance(error, IncompleteError) else 2
    except ImportError as error:
        report(str(error))
        return 2
    except BrokenPipeError:  # the reader, such as head, has exited
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        report(f"{error.filename}: {reason(error)}" if error.filename is not None else reason(error))
        return 2 if error.errno in (errno.ENAMETOOLONG, errno.ELOOP) else 1
    except MemoryError:
        report("not enough memory; use smaller images or sizes")
        return 1
    except KeyboardInterrupt:
        sys.stderr.write(f"\n{program}: interrupted{'; ' * bool(interrupted)}{interrupted}\n")
        return INTERRUPTED


def _one_line(text: str) -> str:
    return " ".join(line.strip() for line in text.splitlines() if line.strip())
