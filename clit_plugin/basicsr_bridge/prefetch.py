"""BasicSR's prefetch thread, which ends before Python does.

A daemon thread that is inside PyTorch when Python finalizes aborts the process, after a training that went well.
"""

import atexit
import queue
import threading
import time
import weakref
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from basicsr.data.prefetch_dataloader import PrefetchGenerator

_SECONDS_TO_END = 10.0  # until a loader that hangs is left behind
_running: weakref.WeakSet["EndingPrefetch"] = weakref.WeakSet()


class EndingPrefetch(PrefetchGenerator):
    """Loads batches in a thread as ``PrefetchGenerator`` does, until Python exits.

    Args:
        generator: The loader's iterator.
        num_prefetch_queue: How many batches are kept ready.
    """

    def __init__(self, generator: Iterator[Any], num_prefetch_queue: int) -> None:
        self._ended = threading.Event()
        _running.add(self)
        super().__init__(_until(self._ended, generator), num_prefetch_queue)

    def end(self) -> None:
        """Wait until the batch that is being loaded is there, and load no further one."""
        self._ended.set()
        give_up = time.monotonic() + _SECONDS_TO_END
        while self.is_alive() and time.monotonic() < give_up:
            with suppress(queue.Empty):  # a full queue would hold the thread
                self.queue.get(timeout=0.1)


def _until(ended: threading.Event, batches: Iterator[Any]) -> Iterator[Any]:
    for batch in batches:
        if ended.is_set():
            return
        yield batch


@atexit.register
def _end_all() -> None:
    for thread in list(_running):
        thread.end()
