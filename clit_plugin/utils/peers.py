"""The processes of a run under torchrun end together.

A process that fails or freezes would leave the others waiting in a collective for hours, and a process that is asked to
stop has to notify rank 0, which saves. The processes therefore write notes to the store of torchrun's rendezvous. The
notes also distinguish a process that waits for a long validation elsewhere from one that waits in vain.
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

_SECONDS_BETWEEN_LOOKS = 0.5
_SECONDS_TO_END = 3.0  # for a process that has noticed by itself, from a closed gloo connection
_SECONDS_FOR_THE_STORE = 30.0


@dataclass(frozen=True)
class WatchedRun:
    """How a timeout is reported.

    Attributes:
        command: ``clit train``.
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

    If no process makes progress (``progress.made``) until the timeout, all end. Without torchrun nothing is watched.

    Args:
        timeout: Minutes without progress.
        run: What the error says about the run.
        end: Ends this process with an exit status; by default at once, without waiting for any thread.
        patience: Seconds that the other processes have, at the timeout, to show that they are still there.

    Raises:
        SystemExit: This process failed because another one had ended, which has reported why.
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
        watch.done.set()


def connect_store(*, seconds: float = 10) -> dist.Store:
    """A connection of its own: the one of the process group may be busy waiting.

    Args:
        seconds: How long to wait for the store's owner, which may be rank 0 and start later than this process.
    """
    address, port = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
    patience = timedelta(seconds=seconds)
    store = dist.TCPStore(address, port, is_master=False, timeout=patience, wait_for_workers=False)
    # Restarted processes find the store as it was if torchrun itself keeps it.
    kept = os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True"
    return dist.PrefixStore(f"clit_plugin/{os.environ['TORCHELASTIC_RESTART_COUNT'] if kept else 0}", store)


def _claim(status: int) -> int | None:
    """Record that this process ends. Returns the status of the process that ended before it, if any."""
    try:
        store = connect_store()
        if store.add("ended", 1) == 1:
            store.set("status", str(status))
            return None
        return int(store.get("status"))
    except RuntimeError:  # the store is gone, and its owner with it
        return None


class _Watch:
    """Two threads: one exchanges notes with the other processes, one counts the seconds without progress.

    Args:
        timeout: Minutes without progress after which the process ends.
        run: What the error says about the run.
        end: Ends the process with an exit status.
        patience: Seconds that the other processes have to answer.
    """

    def __init__(self, timeout: float, run: WatchedRun, end: Callable[[int], None], patience: float) -> None:
        self.done = threading.Event()
        self.timeout, self.run, self.rank = timeout, run, os.environ["RANK"]
        self.end, self.patience = end, patience
        self.idle = 0.0  # seconds
        for task in (self._exchange_notes, self._count_seconds):
            threading.Thread(target=task, daemon=True).start()

    def _exchange_notes(self) -> None:
        try:
            status = self._first_status(connect_store(seconds=self.timeout * 60))
        except RuntimeError:
            status = 1
        if status is not None and not self.done.wait(_SECONDS_TO_END):
            self.end(status)

    def _count_seconds(self) -> None:
        # Not by the clock: a scheduler may suspend the whole job for hours.
        while not self.done.wait(1):
            self.idle += 1
            if self.idle > self.timeout * 60 + _SECONDS_FOR_THE_STORE:
                self._report("the owner of the processes' store, torchrun or rank 0, does not answer")
                self.end(1)

    def _first_status(self, store: dist.Store) -> int | None:
        """Poll until another process ends or the timeout is reached: the exit status; None once this one is done."""
        sent, total, looks = 0, -1, 0
        while not self.done.wait(_SECONDS_BETWEEN_LOOKS):
            count, doing = progress.so_far()
            of_all = store.add("progress", count - sent)
            if of_all != total:
                self.idle = 0.0
            sent, total, looks = count, of_all, looks + 1
            store.set(f"at/{self.rank}", f"{looks} {doing}")
            if self.rank == "0" and store.check(["stop"]):
                request_stop()
            elif self.rank != "0" and stop_requested():
                store.set("stop", self.rank)
            if store.check(["status"]):
                return int(store.get("status"))
            if self.idle > self.timeout * 60 and store.add("ended", 1) == 1:
                self._report(self._who_is_where(store))
                store.set("status", "1")
                return 1
        return None

    def _who_is_where(self, store: dist.Store) -> str:
        """Which processes no longer write notes (stopped, or on a lost node); else what each process does."""

        def notes() -> dict[int, str]:
            keys = {rank: f"at/{rank}" for rank in range(int(os.environ["WORLD_SIZE"]))}
            return {rank: store.get(key).decode() if store.check([key]) else "0 -" for rank, key in keys.items()}

        before = notes()
        self.done.wait(self.patience)
        after = notes() | {int(self.rank): f"now {progress.so_far()[1]}"}
        doing = {rank: note.partition(" ")[2] for rank, note in after.items()}
        silent = {rank: doing[rank] for rank, note in after.items() if note == before[rank]}
        return f"no answer from {by_place(silent)}" if silent else f"all wait or are stuck: {by_place(doing)}"

    def _report(self, what: str) -> None:
        sys.stderr.write(
            f"{self.run.command}: error: no process has made progress for {self.timeout:g} minutes "
            f"({self.run.option}): {what}; {self.run.remedy}\n"
        )
        sys.stderr.flush()


def by_place(doing: Mapping[int, str]) -> str:
    """Ranks by what they are doing, the rarest first: ``rank 3 at step 7, ranks 0, 1, 2 at step 8``."""
    ranks: dict[str, list[str]] = defaultdict(list)
    for rank, what in doing.items():
        ranks[what].append(str(rank))
    places = []
    for what, which in sorted(ranks.items(), key=lambda item: len(item[1]))[:4]:
        more = f" and {len(which) - 8} more" if len(which) > 8 else ""
        places.append(f"rank{'s' * (len(which) > 1)} {', '.join(which[:8])}{more} at {what}")
    return ", ".join(places)


def _end(status: int) -> None:
    end_workers()
    os._exit(status)
