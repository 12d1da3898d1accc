"""Work that is ended by a signal other than Ctrl-C."""

import os
import signal

import pytest

from clit_plugin.utils.atomic_files import replacing
from clit_plugin.utils.signals import exit_on_signals


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_leaves_no_partial_file_and_the_status_of_shells(tmp_path, number):
    assert signal.getsignal(number) is signal.SIG_DFL
    with pytest.raises(SystemExit) as ended, exit_on_signals(), replacing(tmp_path / "a.png") as partial:
        partial.write_bytes(b"half")
        signal.raise_signal(number)
    assert ended.value.code == 128 + number
    assert os.listdir(tmp_path) == []
    assert signal.getsignal(number) is signal.SIG_DFL


def test_a_signal_that_is_ignored_stays_so(monkeypatch):
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup does
    try:
        with exit_on_signals():
            signal.raise_signal(signal.SIGHUP)
    finally:
        signal.signal(signal.SIGHUP, before)


def test_under_torchrun_a_rank_that_waits_for_others_ends_at_once(monkeypatch):
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", "2")
    with exit_on_signals():
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
