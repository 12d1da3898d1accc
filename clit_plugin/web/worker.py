"""Worker threads for the computations, which keep the event loop responsive and bound the tiles in memory."""

import asyncio
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch

from clit_plugin.fast.workers import worker_count
from clit_plugin.web.guard import RefusedError

T = TypeVar("T")
MAX_WAITING = 64


class Worker:
    """A first-in, first-out queue of jobs in worker threads. Jobs cancelled while queued never run.

    A single job gets all of torch's threads, for the shortest latency. With more in the queue, several run in parallel,
    each with its share of the threads, for the best throughput: no job waits for threads to synchronise.

    Args:
        device: Device of the computations; on anything but a CPU, jobs run one at a time.
    """

    def __init__(self, device: torch.device) -> None:
        self.threads, self.max_running = torch.get_num_threads(), worker_count(device)
        self.pool = ThreadPoolExecutor(self.max_running, thread_name_prefix="decoder")
        self.waiting = 0  # jobs, including those that run
        self._queue: deque[asyncio.Future[bool]] = deque()
        self._running, self._alone = 0, False

    async def do(self, work: Callable[[], T]) -> T:
        """Run ``work`` in a thread and return its result; raises RefusedError (503) if the queue is full."""
        if self.waiting >= MAX_WAITING:
            raise RefusedError(503, "too many requests at once; try again")
        self.waiting += 1
        try:
            alone = await self._turn()
            loop = asyncio.get_running_loop()
            started = self.pool.submit(self._run, work, alone)
            # Cancelling the request does not stop the thread, which frees its place only when it is done.
            started.add_done_callback(lambda _: _call(loop, self._release))
            return await asyncio.wrap_future(started)
        finally:
            self.waiting -= 1

    def close(self) -> None:
        """Drop the queued jobs."""
        self.pool.shutdown(wait=False, cancel_futures=True)

    def _run(self, work: Callable[[], T], alone: bool) -> T:
        torch.set_num_threads(self.threads if alone else max(1, self.threads // self.max_running))
        return work()

    async def _turn(self) -> bool:
        """Wait for a free place; returns whether the job gets all threads."""
        turn = asyncio.get_running_loop().create_future()
        self._queue.append(turn)
        self._next()
        try:
            return await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._release()
            raise

    def _release(self) -> None:
        self._running, self._alone = self._running - 1, False
        self._next()

    def _next(self) -> None:
        while self._queue and self._running < self.max_running and not self._alone:
            turn = self._queue.popleft()
            if not turn.done():
                self._alone = not self._running and all(other.done() for other in self._queue)
                self._running += 1
                turn.set_result(self._alone)


def _call(loop: asyncio.AbstractEventLoop, function: Callable[[], None]) -> None:
    """Call a function in the event loop's thread, unless the server has stopped."""
    if not loop.is_closed():
        loop.call_soon_threadsafe(function)
