"""The threads that compute, so that the server answers meanwhile and memory holds few tiles at a time."""

import asyncio
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch

from clit_plugin.fast.workers import worker_count
from clit_plugin.web.guard import RefusedError

T = TypeVar("T")
MOST_WAITING = 64


class Worker:
    """Does what it is given in the order in which it comes. What is cancelled before its turn is never begun.

    Something that comes alone is computed with all threads of torch, as soon as possible. Where more waits, several
    things are computed side by side, each with its share of the threads: nobody waits for another thread, and the whole
    takes less time.

    Args:
        device: Where is computed; on others than a CPU one thing at a time.
    """

    def __init__(self, device: torch.device) -> None:
        self.threads, self.side_by_side = torch.get_num_threads(), worker_count(device)
        self.pool = ThreadPoolExecutor(self.side_by_side, thread_name_prefix="decoder")
        self.waiting = 0  # or running
        self._queue: deque[asyncio.Future[bool]] = deque()
        self._running, self._alone = 0, False

    async def do(self, work: Callable[[], T]) -> T:
        """What ``work`` returns; raises RefusedError (503) where too much waits already."""
        if self.waiting >= MOST_WAITING:
            raise RefusedError(503, "too many requests at once; try again")
        self.waiting += 1
        try:
            alone = await self._turn()
            loop = asyncio.get_running_loop()
            begun = self.pool.submit(self._run, work, alone)
            begun.add_done_callback(lambda _: _call(loop, self._leave))  # a cancelled request's work still runs
            return await asyncio.wrap_future(begun)
        finally:
            self.waiting -= 1

    def close(self) -> None:
        """Drop what waits."""
        self.pool.shutdown(wait=False, cancel_futures=True)

    def _run(self, work: Callable[[], T], alone: bool) -> T:
        torch.set_num_threads(self.threads if alone else max(1, self.threads // self.side_by_side))
        return work()

    async def _turn(self) -> bool:
        """Wait for it; whether nothing else may run."""
        turn = asyncio.get_running_loop().create_future()
        self._queue.append(turn)
        self._next()
        try:
            return await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._leave()
            raise

    def _leave(self) -> None:
        self._running, self._alone = self._running - 1, False
        self._next()

    def _next(self) -> None:
        while self._queue and self._running < self.side_by_side and not self._alone:
            turn = self._queue.popleft()
            if not turn.done():
                self._alone = not self._running and all(other.done() for other in self._queue)
                self._running += 1
                turn.set_result(self._alone)


def _call(loop: asyncio.AbstractEventLoop, function: Callable[[], None]) -> None:
    """Call a function in the loop's thread, unless the server has stopped."""
    if not loop.is_closed():
        loop.call_soon_threadsafe(function)
