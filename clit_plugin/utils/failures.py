"""Unexpected errors of a run: one line on the terminal, and the traceback in its log."""

import logging
import os
import traceback
from pathlib import Path

from clit_plugin.utils.atomic_files import write_text
from clit_plugin.utils.errors import UserError
from clit_plugin.utils.output_files import reason


def one_line(error: BaseException) -> str:
    """Type, message and source line of an error, as ``ValueError: bad (encoder.py:12)``."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    if "Original Traceback" in str(error):  # an error of a DataLoader worker
        return f"in a DataLoader worker: {lines[-1]}"
    if lines and lines[0].startswith("DataLoader worker"):
        return f"{lines[0].rstrip(' .')}; if the machine is out of memory, choose a smaller num_worker_per_gpu"
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename}: {reason(error)}"
    frames = traceback.extract_tb(error.__traceback__)
    location = f" ({Path(frames[-1].filename).name}:{frames[-1].lineno})" if frames else ""
    return f"{type(error).__name__}: {' '.join(lines) or 'no message'}{location}"


def log_traceback(error: BaseException, folder: Path) -> Path | None:
    """Write an error's traceback to BasicSR's log file or, on ranks without one, to a file in the run's folder.

    Returns:
        The file; None if there is no log and no folder, or the file cannot be written.
    """
    trace = (type(error), error, error.__traceback__)
    for handler in logging.getLogger("basicsr").handlers:
        if isinstance(handler, logging.FileHandler):
            handler.handle(logging.LogRecord("basicsr", logging.ERROR, __file__, 0, "The run failed", None, trace))
            return Path(handler.baseFilename)
    if not folder.is_dir():
        return None
    file = folder / f"failed_rank{os.environ.get('RANK', '0')}.log"
    try:
        write_text(file, "".join(traceback.format_exception(error)))
    except UserError:
        return None
    return file
