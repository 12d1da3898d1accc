"""The one thread that computes, so that the server answers meanwhile and memory holds one tile at a time."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from clit_plugin.web.guard import RefusedError

T = TypeVar("T")
MOST_WAITING = 64


class Worker:
    """Does one thing after another. What is cancelled before its turn is never begun."""

    def __init__(self) -> None:
        self.pool = ThreadPoolExecutor(1, thread_name_prefix="decoder")
        self.waiting = 0

    async def do(self, work: Callable[[], T]) -> T:
        """What ``work`` returns; raises RefusedError (503) where too much waits already."""
        if self.waiting >= MOST_WAITING:
            raise RefusedError(503, "too many requests at once; try again")
        self.waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self.pool, work)
        finally:
            self.waiting -= 1

    def close(self) -> None:
        """Drop what waits."""
        self.pool.shutdown(wait=False, cancel_futures=True)
