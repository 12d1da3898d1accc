"""A process waits for others as long as one of them makes progress, and no longer."""

import threading
import time
from datetime import timedelta

import pytest
import torch.distributed as dist

from clit_plugin.utils import peers, progress

_TIMEOUT = 3.0  # seconds


@pytest.fixture
def watched(monkeypatch):
    """Rank 1's view of the store while rank 0 is watched, an event for rank 0's end, and its exit statuses."""
    server = dist.TCPStore("localhost", 0, is_master=True, wait_for_workers=False, timeout=timedelta(seconds=10))
    place = {"RANK": "0", "WORLD_SIZE": "2", "MASTER_ADDR": "localhost", "MASTER_PORT": str(server.port)}
    for name, value in place.items():
        monkeypatch.setenv(name, value)
    ended, statuses = threading.Event(), []

    def end(status):
        statuses.append(status)
        ended.set()

    run = peers.WatchedRun("clit train", "train.timeout", "--auto_resume continues")
    with peers.end_together(timeout=_TIMEOUT / 60, run=run, end=end, patience=2.0):
        yield peers.connect_store(), ended, statuses


def leave_notes(store, *, seconds, doing, progressing, until=None):
    """Report as rank 1 does."""
    start, look = time.monotonic(), 0
    while time.monotonic() - start < seconds and not (until and until.is_set()):
        store.add("progress", int(progressing))
        store.set("at/1", f"{look} {doing}")
        look += 1
        time.sleep(0.2)


def test_a_process_waits_while_another_one_validates(watched):
    store, ended, _ = watched
    leave_notes(store, seconds=3 * _TIMEOUT, doing="the validation of 0001", progressing=True)
    assert not ended.is_set()


def test_an_unresponsive_process_is_named(watched, capfd):
    store, ended, statuses = watched
    progress.report("step 8")
    leave_notes(store, seconds=1, doing="step 7", progressing=True)
    assert ended.wait(60)
    assert statuses == [1]
    assert store.get("status") == b"1"  # which ends the others
    (line,) = capfd.readouterr().err.splitlines()
    assert line == (
        "clit train: error: no process has made progress for 0.05 minutes (train.timeout): no answer from rank 1 at "
        "step 7; --auto_resume continues"
    )


def test_responsive_processes_without_progress_are_reported_with_their_activities(watched, capfd):
    store, ended, statuses = watched
    progress.report("step 8")
    leave_notes(store, seconds=60, doing="step 7", progressing=False, until=ended)
    assert statuses == [1]
    assert "all processes are waiting or stuck: rank 0 at step 8, rank 1 at step 7" in capfd.readouterr().err


def test_the_watching_thread_ends_with_the_run(watched):
    before = set(threading.enumerate())
    run = peers.WatchedRun("clit train", "train.timeout", "--auto_resume continues")
    with peers.end_together(timeout=_TIMEOUT / 60, run=run):
        assert len(set(threading.enumerate()) - before) == 2
    assert not set(threading.enumerate()) - before


def test_many_ranks_are_grouped_by_activity_with_the_rarest_first():
    doing = {rank: "step 8" for rank in range(12)} | {5: "step 7"}
    assert peers.by_activity(doing) == "rank 5 at step 7, ranks 0, 1, 2, 3, 4, 6, 7, 8 and 3 more at step 8"
