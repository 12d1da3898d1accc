"""The worker threads: one job with all of torch's threads, or several in parallel."""

import asyncio
import threading
from collections.abc import Callable

import pytest
import torch
from waiting import wait_until

from clit_plugin.web.worker import Worker


@pytest.fixture
def threads():
    """Give torch two threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield 2
    torch.set_num_threads(before)


class Work:
    """A job that runs until its ``end`` is set."""

    def __init__(self) -> None:
        self.begun, self.end, self.threads = threading.Event(), threading.Event(), 0

    def __call__(self) -> int:
        self.threads = torch.get_num_threads()
        self.begun.set()
        assert self.end.wait(30)
        return self.threads


async def until(true: Callable[[], object]) -> None:
    await asyncio.to_thread(wait_until, true)


def run(test, device="cpu"):
    """Run an asynchronous test with a worker, and end the remaining jobs."""

    async def with_worker():
        worker, works = Worker(torch.device(device)), [Work() for _ in range(4)]
        try:
            await test(worker, works)
        finally:
            for work in works:
                work.end.set()
            worker.close()

    asyncio.run(with_worker())


def test_a_single_job_uses_all_threads_and_queued_jobs_then_run_in_parallel(threads):
    async def test(worker, works):
        tasks = [asyncio.create_task(worker.do(work)) for work in works[:3]]
        await until(works[0].begun.is_set)
        await asyncio.sleep(0.05)
        assert not works[1].begun.is_set()
        works[0].end.set()
        await until(lambda: works[1].begun.is_set() and works[2].begun.is_set())
        works[1].end.set()
        works[2].end.set()
        assert await asyncio.gather(*tasks) == [2, 1, 1]
        assert worker.waiting == 0
        works[3].end.set()
        assert await worker.do(works[3]) == 2

    run(test)


def test_the_last_job_of_many_uses_all_threads(threads):
    async def test(worker, works):
        tasks = [asyncio.create_task(worker.do(work)) for work in works]
        for work in works:
            await until(work.begun.is_set)
            work.end.set()
        results = await asyncio.gather(*tasks)
        assert (results[0], results[1]) == (2, 1)

    run(test)


def test_an_accelerator_runs_one_job_at_a_time(threads):
    async def test(worker, works):
        tasks = [asyncio.create_task(worker.do(work)) for work in works[:2]]
        await until(works[0].begun.is_set)
        await asyncio.sleep(0.05)
        assert not works[1].begun.is_set()
        works[0].end.set()
        works[1].end.set()
        assert await asyncio.gather(*tasks) == [2, 2]

    run(test, "meta")


def test_a_job_cancelled_while_queued_never_starts(threads):
    async def test(worker, works):
        tasks = [asyncio.create_task(worker.do(work)) for work in works[:3]]
        await until(works[0].begun.is_set)
        tasks[1].cancel()
        await asyncio.sleep(0)
        assert worker.waiting == 2
        works[0].end.set()
        works[2].end.set()
        assert await tasks[2] == 2  # nothing else waits
        assert not works[1].begun.is_set()

    run(test)


def test_a_job_cancelled_while_running_keeps_its_thread_until_it_ends(threads):
    async def test(worker, works):
        tasks = [asyncio.create_task(worker.do(work)) for work in works[:2]]
        await until(works[0].begun.is_set)
        tasks[0].cancel()
        await asyncio.sleep(0.05)
        assert worker.waiting == 1
        assert not works[1].begun.is_set()
        works[0].end.set()
        works[1].end.set()
        assert await tasks[1] == 2

    run(test)


def test_a_failed_job_frees_its_thread(threads):
    async def test(worker, works):
        def fail():
            raise ZeroDivisionError

        for _ in range(3):
            with pytest.raises(ZeroDivisionError):
                await worker.do(fail)
        works[0].end.set()
        assert await worker.do(works[0]) == 2

    run(test)
