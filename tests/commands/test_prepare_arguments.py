"""The arguments of ``clit prepare``."""

import pytest
from lmdb_helpers import run_prepare

from clit_plugin.commands.cli import main


def test_help_shows_examples(capsys):
    with pytest.raises(SystemExit, match="0"):
        main(["prepare", "--help"])
    text = capsys.readouterr().out
    assert text.count("    clit prepare datasets/") == 2
    assert "--sub-image 480 --step 240" in text


@pytest.mark.parametrize("number", ["0", "-3", "many"])
def test_a_number_of_workers_below_one_is_refused(paths, capsys, number):
    with pytest.raises(SystemExit, match="2"):
        run_prepare(*paths, f"--workers={number}")
    assert f"expected a whole number above 0, got '{number}'" in capsys.readouterr().err
