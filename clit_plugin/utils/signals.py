"""What signals do: a training first finishes and saves its step, and other work first removes its partial files."""

import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from clit_plugin.utils.startup import under_torchrun

_requested = threading.Event()


def stop_requested() -> bool:
    """Whether a stop was requested, by a signal or ``request_stop``."""
    return _requested.is_set()


def request_stop() -> None:
    """Request a stop because another process received a signal."""
    _requested.set()


def leave_signals_to_trainer() -> None:
    """In a DataLoader worker, ignore signals to the process group, so that the trainer can save its step first.

    The trainer ends its workers with ``end_workers``.
    """
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)


def end_workers() -> None:
    """Kill this process's DataLoader workers.

    They ignore the SIGTERM that Python sends them at exit, which would then wait forever. They only read, so nothing is
    lost.
    """
    workers = [child for child in multiprocessing.active_children() if child.daemon]
    if not workers:
        return
    main = threading.current_thread() is threading.main_thread()
    # PyTorch raises an exception when a worker is killed.
    handler = signal.signal(signal.SIGCHLD, signal.SIG_DFL) if main else None
    for worker in workers:
        worker.kill()
    for worker in workers:
        worker.join(timeout=1)
    if main:
        signal.signal(signal.SIGCHLD, handler)


@contextmanager
def stop_on_signal() -> Iterator[None]:
    """Turn the first SIGINT or SIGTERM into a request to stop; a second one interrupts at once. Main thread only."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    trainer = os.getpid()

    def handle(number: int, frame: FrameType | None) -> None:
        if os.getpid() != trainer:  # inherited by a DataLoader worker, which the trainer ends
            return
        if _requested.is_set():
            raise KeyboardInterrupt
        _requested.set()
        if os.environ.get("RANK", "0") == "0":
            sys.stderr.write("\nStopping after this step, which will be saved; press Ctrl-C again to stop at once.\n")

    _requested.clear()
    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def exit_on_signals() -> Iterator[None]:
    """Turn SIGTERM and SIGHUP into SystemExit, so that the block removes its partial files. Main thread only.

    Under torchrun nothing changes: a rank that waits for others must end at once.
    """
    if threading.current_thread() is not threading.main_thread() or under_torchrun():
        yield
        return

    def handle(number: int, frame: FrameType | None) -> None:
        raise SystemExit(128 + number)

    taken = [each for each in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(each) is signal.SIG_DFL]
    for number in taken:
        signal.signal(number, handle)
    try:
        yield
    finally:
        for number in taken:
            signal.signal(number, signal.SIG_DFL)
