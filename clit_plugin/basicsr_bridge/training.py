"""Locking, interruption and errors of a training, whether ``clit train`` or BasicSR's own entry starts it."""

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from clit_plugin.basicsr_bridge import CHECKPOINTS_KEPT
from clit_plugin.basicsr_bridge.run_lock import lock_runs
from clit_plugin.utils.errors import IncompleteError, UserError
from clit_plugin.utils.failures import log_traceback, one_line
from clit_plugin.utils.peers import WatchedRun, end_together
from clit_plugin.utils.signals import end_workers, stop_on_signal, stop_requested


@contextmanager
def exclusive_training(root: Path, names: Iterable[str], *, timeout: float) -> Iterator[None]:
    """Keep other processes from training these runs, and end together with the other ranks of this training.

    Args:
        root: The folder that ``experiments`` is in.
        names: Of the runs.
        timeout: ``train.timeout``, minutes.

    Raises:
        UserError: One of the runs is being trained already.
    """
    watched = WatchedRun("clit train", "train.timeout", CHECKPOINTS_KEPT)
    with end_together(timeout=timeout, run=watched), lock_runs(root / "experiments", names):
        yield


@contextmanager
def interruptible_stage(folder: Path) -> Iterator[None]:
    """Train one stage: the first Ctrl-C or SIGTERM lets the running step end and be saved, and every error is one line.

    DataLoader workers are always ended, as the process would wait for them at its exit.

    Args:
        folder: The run's folder, for the traceback of an unexpected error.

    Raises:
        IncompleteError: In place of every error.
        KeyboardInterrupt: The training was interrupted.
    """
    try:
        with stop_on_signal():
            yield
    except UserError as error:
        raise IncompleteError(f"{str(error).rstrip()}; {CHECKPOINTS_KEPT}") from error
    except Exception as error:
        log = log_traceback(error, folder)
        traced = f"{os.path.relpath(log)} has the traceback; " if log else ""
        raise IncompleteError(f"{folder.name}: {one_line(error)}; {traced}{CHECKPOINTS_KEPT}") from error
    finally:
        end_workers()
    if stop_requested():  # during the last validation
        raise KeyboardInterrupt
