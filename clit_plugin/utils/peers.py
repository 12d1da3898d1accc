"""Makes all processes of a run under torchrun end together.

A process that fails or freezes would leave the others waiting in a collective for hours, and a process that receives a
signal has to notify rank 0, which saves. The processes therefore report their status in the store of torchrun's
rendezvous. This also distinguishes waiting for a long validation on another rank from waiting in vain.
"""

import os
import sys
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import torch.distributed as dist

from clit_plugin.utils import progress
from clit_plugin.utils.exit_status import INTERRUPTED
from clit_plugin.utils.signals import end_workers, request_stop, stop_requested

_POLL_SECONDS = 0.5
_SECONDS_TO_END = 3.0  # grace for a process that ends by itself, because a gloo connection was closed
_STORE_SECONDS = 30.0  # beyond the timeout, until the store counts as lost


@dataclass(frozen=True)
class WatchedRun:
    """What the error about a timeout says of the run.

    Attributes:
        command: The command, as ``clit train``.
        option: The option that sets the timeout.
        remedy: What is kept, and how to continue.
    """

    command: str
    option: str
    remedy: str


@contextmanager
def end_together(
    *, timeout: float, run: WatchedRun, end: Callable[[int], None] | None = None, patience: float = 5.0
) -> Iterator[None]:
    """End this process when another one has failed or stopped, and notify the others if this one does.

    If no process reports progress (``progress.report``) within the timeout, all of them end. Without torchrun, this
    does nothing.

    Args:
        timeout: Minutes without progress.
        run: The run, for the error.
        end: Ends this process with an exit status; by default immediately, without waiting for threads.
        patience: Seconds, after the timeout, in which other processes can show that they are still alive.

    Raises:
        SystemExit: This process failed because another one had ended and reported why.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) < 2:
        yield
        return
    watch = _Watch(timeout, run, end or _end, patience)
    try:
        yield
    except BaseException as error:
        status = INTERRUPTED if isinstance(error, KeyboardInterrupt) else 1
        first = _claim(status)
        if first is not None:
            raise SystemExit(first) from error
        raise
    finally:
        watch.stop()


def connect_store(*, seconds: float = 10) -> dist.Store:
    """Open a new connection to the store, as the process group's own may be blocked.

    Args:
        seconds: How long to wait for the store's owner; it may be rank 0, and start later than this process.
    """
    address, port = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
    wait = timedelta(seconds=seconds)
    store = dist.TCPStore(address, port, is_master=False, timeout=wait, wait_for_workers=False)
    # If torchrun owns the store, its content outlives a restart of the processes.
    outlives = os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True"
    return dist.PrefixStore(f"clit_plugin/{os.environ['TORCHELASTIC_RESTART_COUNT'] if outlives else 0}", store)


def _claim(status: int) -> int | None:
    """Record that this process ends with ``status``; returns the status of the first one to end if it was another."""
    try:
        store = connect_store()
        if store.add("ended", 1) == 1:
            store.set("status", str(status))
            return None
        return int(store.get("status"))
    except RuntimeError:  # the store's owner has ended
        return None


class _Watch:
    """Two threads: one exchanges status with the other processes, the other counts the seconds without progress.

    The arguments are those of ``end_together``.
    """

    def __init__(self, timeout: float, run: WatchedRun, end: Callable[[int], None], patience: float) -> None:
        self.done = threading.Event()
        self.timeout, self.run, self.rank = timeout, run, os.environ["RANK"]
        self.end, self.patience = end, patience
        self.idle = 0.0  # seconds
        tasks = (self._exchange_status, self._count_idle)
        self.threads = [threading.Thread(target=task, daemon=True) for task in tasks]
        for thread in self.threads:
            thread.start()

    def stop(self) -> None:
        """End the threads: one that is inside the store when Python finalizes would abort the process."""
        self.done.set()
        for thread in self.threads:
            thread.join(_SECONDS_TO_END)

    def _exchange_status(self) -> None:
        try:
            status = self._first_status(connect_store(seconds=self.timeout * 60))
        except RuntimeError:
            status = 1
        if status is not None and not self.done.wait(_SECONDS_TO_END):
            self.end(status)

    def _count_idle(self) -> None:
        # Counted instead of read from a clock, because a scheduler may suspend the whole job for hours.
        while not self.done.wait(1):
            self.idle += 1
            if self.idle > self.timeout * 60 + _STORE_SECONDS:
                self._report("the rendezvous store of torchrun or rank 0 does not answer")
                self.end(1)

    def _first_status(self, store: dist.Store) -> int | None:
        """Poll until a process ends or the timeout is reached. The exit status; None once ``done`` is set."""
        sent, total, polls = 0, -1, 0
        while not self.done.wait(_POLL_SECONDS):
            count, doing = progress.current()
            new_total = store.add("progress", count - sent)
            if new_total != total:
                self.idle = 0.0
            sent, total, polls = count, new_total, polls + 1
            store.set(f"at/{self.rank}", f"{polls} {doing}")
            if self.rank == "0" and store.check(["stop"]):
                request_stop()
            elif self.rank != "0" and stop_requested():
                store.set("stop", self.rank)
            if store.check(["status"]):
                return int(store.get("status"))
            if self.idle > self.timeout * 60 and store.add("ended", 1) == 1:
                self._report(self._diagnosis(store))
                store.set("status", "1")
                return 1
        return None

    def _diagnosis(self, store: dist.Store) -> str:
        """Which processes no longer report (stopped, or on a lost node), or else what each process is doing."""

        def reports() -> dict[int, str]:
            keys = {rank: f"at/{rank}" for rank in range(int(os.environ["WORLD_SIZE"]))}
            return {rank: store.get(key).decode() if store.check([key]) else "0 -" for rank, key in keys.items()}

        before = reports()
        self.done.wait(self.patience)
        after = reports() | {int(self.rank): f"now {progress.current()[1]}"}
        doing = {rank: report.partition(" ")[2] for rank, report in after.items()}
        silent = {rank: doing[rank] for rank, report in after.items() if report == before[rank]}
        if silent:
            return f"no answer from {by_activity(silent)}"
        return f"all processes are waiting or stuck: {by_activity(doing)}"

    def _report(self, what: str) -> None:
        sys.stderr.write(
            f"{self.run.command}: error: no process has made progress for {self.timeout:g} minutes "
            f"({self.run.option}): {what}; {self.run.remedy}\n"
        )
        sys.stderr.flush()


def by_activity(doing: Mapping[int, str]) -> str:
    """Ranks grouped by what they are doing, the smallest group first: ``rank 3 at step 7, ranks 0, 1, 2 at step 8``."""
    groups: dict[str, list[str]] = defaultdict(list)
    for rank, activity in doing.items():
        groups[activity].append(str(rank))
    texts = []
    for activity, ranks in sorted(groups.items(), key=lambda item: len(item[1]))[:4]:
        more = f" and {len(ranks) - 8} more" if len(ranks) > 8 else ""
        texts.append(f"rank{'s' * (len(ranks) > 1)} {', '.join(ranks[:8])}{more} at {activity}")
    return ", ".join(texts)


def _end(status: int) -> None:
    end_workers()
    os._exit(status)
