"""What a run says of an error that nobody foresaw: one line, and the traceback in its log."""

import logging
import sys
import traceback
from pathlib import Path

from clit_plugin.output_files import reason


def one_line(error: BaseException) -> str:
    """Kind and message of an error and where it came from, as ``ValueError: bad (encoder.py:12)``."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    if "Original Traceback" in str(error):  # a loader's worker has put its own into the message
        return f"in a worker of the loader: {lines[-1]}"
    if lines and lines[0].startswith("DataLoader worker"):
        return f"{lines[0].rstrip(' .')}; if the machine is out of memory, choose a smaller num_worker_per_gpu"
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename}: {reason(error)}"
    frames = traceback.extract_tb(error.__traceback__)
    place = f" ({Path(frames[-1].filename).name}:{frames[-1].lineno})" if frames else ""
    return f"{type(error).__name__}: {' '.join(lines) or 'no message'}{place}"


def log_traceback(error: BaseException) -> str | None:
    """Write an error's traceback into BasicSR's log file; the file, or None where there is none."""
    for handler in logging.getLogger("basicsr").handlers:
        if isinstance(handler, logging.FileHandler):
            told = logging.LogRecord("basicsr", logging.ERROR, __file__, 0, "The run failed", None, sys.exc_info())
            told.exc_info = (type(error), error, error.__traceback__)
            handler.handle(told)
            return handler.baseFilename
    return None
