"""What C libraries write to stderr, below Python's."""

import os
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from clit_plugin.utils.library_messages import library_messages


def test_lines_are_collected_and_not_shown(capfd):
    with library_messages() as lines:
        os.write(2, b"libpng error: one\nanother\n")
        assert lines == []
    assert lines == ["libpng error: one", "another"]
    sys.stderr.write("after\n")
    assert capfd.readouterr().err == "after\n"


def test_stderr_is_back_after_a_failure_and_after_silence(capfd):
    with pytest.raises(ValueError, match="of the block"), library_messages():
        raise ValueError("of the block")
    with library_messages() as lines:
        pass
    assert lines == []
    os.write(2, b"shown")
    assert capfd.readouterr().err == "shown"


def test_more_than_a_pipe_holds_does_not_block(capfd):
    with library_messages() as lines:
        os.write(2, b"x" * 2**18)
    assert 2**12 <= len(lines[0]) <= 2**18


def test_another_thread_collects_nothing_and_stderr_stays_where_it_is(capfd):
    def write() -> list[str]:
        with library_messages() as lines:
            os.write(2, b"of a neighbour")
        return lines

    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(write).result() == []
    assert capfd.readouterr().err == "of a neighbour"
