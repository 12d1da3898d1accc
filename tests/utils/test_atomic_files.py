"""Files are written whole or not at all."""

import errno
import os
from pathlib import Path

import pytest
import torch

from clit_plugin.utils.atomic_files import replacing, save_whole, write_bytes, write_text
from clit_plugin.utils.errors import UserError


def test_a_file_appears_only_when_the_with_block_has_ended(tmp_path):
    file = tmp_path / "new" / "a.txt"
    with replacing(file) as partial:
        partial.write_text("part")
        assert not file.exists()
    assert [(path.name, path.read_text()) for path in file.parent.iterdir()] == [("a.txt", "part")]


def test_content_is_synced_to_disk_before_the_file_is_renamed(tmp_path, monkeypatch):
    steps = []
    fsync, replace = os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda file: (steps.append(os.fstat(file).st_size), fsync(file)))
    monkeypatch.setattr(os, "replace", lambda *paths: (steps.append("replace"), replace(*paths)))
    write_text(tmp_path / "a.txt", "seven\r\n")
    assert steps == [7, "replace"]
    assert (tmp_path / "a.txt").read_bytes() == b"seven\r\n"


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_an_error_in_the_block_passes_through_and_leaves_the_old_file(tmp_path, error):
    (tmp_path / "a.txt").write_text("old")
    with pytest.raises(error), replacing(tmp_path / "a.txt") as partial:
        partial.write_text("half")
        raise error
    assert [path.read_text() for path in tmp_path.iterdir()] == ["old"]


def test_processes_that_share_a_file_do_not_share_its_partial_file(tmp_path):
    with replacing(tmp_path / "a.csv", shared=True) as partial:
        partial.write_text("mine")
        assert str(os.getpid()) in partial.name


def test_a_checkpoint_that_cannot_be_pickled_is_refused(tmp_path):
    with pytest.raises((UserError, AttributeError, TypeError)):
        save_whole({"net": lambda: None}, tmp_path / "net.pth")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("step", ["write", "replace"])
def test_a_failed_write_leaves_no_partial_file_and_the_old_file_unchanged(tmp_path, monkeypatch, step):
    (tmp_path / "a.png").write_bytes(b"old")
    original = Path.write_bytes

    def fail(self, content):
        original(self, content[:2])
        raise OSError(errno.ENOSPC, "No space left on device")

    def fail_to_replace(source, target):
        raise OSError(errno.EDQUOT, "Disk quota exceeded")

    with monkeypatch.context() as patch:
        if step == "write":
            patch.setattr(Path, "write_bytes", fail)
        else:
            patch.setattr(os, "replace", fail_to_replace)
        with pytest.raises(UserError, match=r"a\.png: cannot be written \(no space left "):
            write_bytes(tmp_path / "a.png", b"new content")
    assert [file.read_bytes() for file in tmp_path.iterdir()] == [b"old"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_checkpoint_on_a_full_disk_fails_with_the_error_of_the_system(tmp_path, monkeypatch):
    original = Path.open
    monkeypatch.setattr(Path, "open", lambda self, *args, **options: original(Path("/dev/full"), *args, **options))
    with pytest.raises(UserError, match=r"net\.pth: cannot be written \(no space left on the disk\)$"):
        save_whole({"params": torch.zeros(300_000)}, tmp_path / "net.pth")
    assert list(tmp_path.iterdir()) == []
