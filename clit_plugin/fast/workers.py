"""Independent parts of a computation, shared out among threads of which each computes on its own.

Torch splits every single operation among its threads, which wait for each other at the end of each: thousands of times
for an image, and long where another process wants the same cores. Parts that have nothing to wait for need no more than
one thread each. Python's lock is free while torch computes.
"""

import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from queue import SimpleQueue
from typing import TypeVar

import torch

T = TypeVar("T")

MAX_WORKERS = 8  # each holds memory, and many would wait for Python's lock; further cores help within operations

_lock = threading.Lock()
_callers = 0
_threads = 1  # what torch had before the first of the callers


def worker_count(device: torch.device) -> int:
    """How many threads ``share_out`` uses: as many as torch on a CPU, up to a limit; elsewhere only the caller's."""
    return min(torch.get_num_threads(), MAX_WORKERS) if device.type == "cpu" else 1


def share_out(
    parts: Iterable[T], work: Callable[[T], object], *, device: torch.device, done: Callable[[T], object] | None = None
) -> None:
    """Do ``work`` on every part, without gradients.

    Args:
        parts: Taken one after the other as threads get free.
        work: Called in several threads at once, under the caller's autocast; it writes its result somewhere of its own.
        device: Where the work is computed.
        done: Called with every part that is done, in the caller's thread.

    Raises:
        BaseException: The first that ``work``, ``parts`` or ``done`` raised; what had begun has ended by then.
    """
    workers = worker_count(device)
    if workers == 1:
        with torch.no_grad():
            for part in parts:
                work(part)
                if done is not None:
                    done(part)
        return
    source, taking, stopped = iter(parts), threading.Lock(), threading.Event()
    results: SimpleQueue[tuple[T] | None] = SimpleQueue()
    inference, autocast = torch.is_inference_mode_enabled(), torch.is_autocast_enabled(device.type)
    autocast_dtype = torch.get_autocast_dtype(device.type)

    def run(threads: int) -> None:
        torch.set_num_threads(threads)
        try:
            with (
                torch.inference_mode() if inference else torch.no_grad(),
                torch.autocast(device.type, dtype=autocast_dtype, enabled=autocast),
            ):
                while not stopped.is_set():
                    with taking:
                        taken = [part for _, part in zip(range(1), source, strict=False)]
                    if not taken:
                        return
                    work(taken[0])
                    results.put((taken[0],))
        except BaseException:
            stopped.set()
            raise
        finally:
            results.put(None)

    with _threads_put_back() as threads, ThreadPoolExecutor(workers, thread_name_prefix="clit") as pool:
        futures = [pool.submit(run, max(1, threads // workers)) for _ in range(workers)]
        try:
            running = workers
            while running:
                result = results.get()
                if result is None:
                    running -= 1
                elif done is not None:
                    done(result[0])
        finally:
            stopped.set()
        for future in futures:
            future.result()


@contextmanager
def _threads_put_back() -> Iterator[int]:
    """How many threads torch has; the same again afterwards.

    ``torch.set_num_threads`` counts for the thread that calls it but, for MKL and threads that begin later, for the
    whole process. Where several threads share out work at once, the last one puts it back.
    """
    global _callers, _threads
    with _lock:
        if not _callers:
            _threads = torch.get_num_threads()
        _callers += 1
        threads = _threads
    try:
        yield threads
    finally:
        with _lock:
            _callers -= 1
            if not _callers:
                torch.set_num_threads(_threads)
