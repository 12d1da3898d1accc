"""The processes of a training under torchrun end together.

One that fails leaves the others waiting in a collective, for hours; one that is asked to stop has to tell rank 0, which
saves. They leave each other notes in the store by which torchrun has brought them together.
"""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import torch.distributed as dist

from clit_plugin.interruption import end_workers, request_stop, stop_requested

_SECONDS_BETWEEN_LOOKS = 0.5
_SECONDS_TO_END = 3.0  # for a process that has noticed by itself, as gloo's connections tell it


@contextmanager
def end_together() -> Iterator[None]:
    """End this process where another one has failed or stopped meanwhile, and tell the others if this one does.

    Without torchrun nothing is watched.

    Raises:
        SystemExit: This process failed because another one had ended, which has told why.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) < 2:
        yield
        return
    done = threading.Event()
    threading.Thread(target=_watch, args=(done,), daemon=True).start()
    try:
        yield
    except BaseException as error:
        status = 130 if isinstance(error, KeyboardInterrupt) else 1
        first = _claim(status)
        if first is not None:
            raise SystemExit(first) from error
        raise
    finally:
        done.set()


def _store() -> dist.Store:
    """A connection of its own: the one of the process group may be busy waiting."""
    address, port = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
    store = dist.TCPStore(address, port, is_master=False, timeout=timedelta(seconds=10), wait_for_workers=False)
    return dist.PrefixStore(f"clit_plugin/{os.environ.get('TORCHELASTIC_RESTART_COUNT', '0')}", store)


def _claim(status: int) -> int | None:
    """Note that this process ends; the status of the one that ended before it, if there is one."""
    try:
        store = _store()
        if store.add("ended", 1) == 1:
            store.set("status", str(status))
            return None
        return int(store.get("status"))
    except RuntimeError:  # the store is gone, and with it who kept it
        return None


def _watch(done: threading.Event) -> None:
    try:
        store, rank = _store(), os.environ["RANK"]
        while not done.wait(_SECONDS_BETWEEN_LOOKS):
            if rank == "0" and store.check(["stop"]):
                request_stop()
            elif rank != "0" and stop_requested():
                store.set("stop", rank)
            if store.check(["status"]):
                status = int(store.get("status"))
                break
        else:
            return
    except RuntimeError:
        status = 1
    if not done.wait(_SECONDS_TO_END):
        end_workers()
        os._exit(status)
