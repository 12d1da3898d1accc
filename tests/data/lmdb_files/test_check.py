"""Truncated LMDBs, and lists that are not theirs; reading beyond the end of a file would kill this process."""

import os
import shutil

import lmdb
import pytest
from train_helpers import to_lmdb, write_images

from clit_plugin.data import image_source
from clit_plugin.data.image_source import ImageSource
from clit_plugin.data.lmdb_files.check import check_data_file
from clit_plugin.utils.errors import UserError


@pytest.fixture
def folder(tmp_path):
    """An LMDB of 12 images of 41 x 38."""
    return to_lmdb(write_images(tmp_path / "hr", 12, (41, 38)))


def relist(folder, change):
    """Change the lines of the list."""
    path = folder / "meta_info.txt"
    path.write_text("".join(change(path.read_text().splitlines(keepends=True))))


def test_an_intact_lmdb_is_read_whatever_its_last_transaction(tmp_path):
    path = tmp_path / "x.lmdb"
    with lmdb.open(str(path), map_size=2**24) as env:
        for i in range(40):  # of one transaction or of the other is the newest header
            with env.begin(write=True) as transaction:
                transaction.put(str(i % 7).encode(), os.urandom(500 * (i % 11) + 1))
                transaction.delete(str((i + 3) % 7).encode())
            check_data_file(path)


@pytest.mark.parametrize("kept", ["all but a byte", "half", "a page", "150 bytes", "nothing"])
def test_a_truncated_data_file_is_refused_before_it_is_mapped(folder, kept, monkeypatch):
    path = folder / "data.mdb"
    with lmdb.open(str(folder), readonly=True, lock=False) as env:  # what LMDB itself reads in the header
        page, pages = env.stat()["psize"], env.info()["last_pgno"] + 1
    lengths = {"all but a byte": page * pages - 1, "half": page * pages // 2, "a page": page, "150 bytes": 150}
    os.truncate(path, lengths.get(kept, 0))
    monkeypatch.setattr(lmdb, "open", None)  # must not be called
    with pytest.raises(UserError, match=r"data\.mdb: (truncated|not a data file of LMDB).*make it anew"):
        ImageSource(str(folder))


def test_a_data_file_of_exactly_the_length_that_its_header_says_is_read(folder):
    with lmdb.open(str(folder), readonly=True, lock=False) as env:
        length = env.stat()["psize"] * (env.info()["last_pgno"] + 1)
    os.truncate(folder / "data.mdb", length)
    assert ImageSource(str(folder)).read("0012").shape == (41, 38, 3)


def test_a_data_file_that_is_not_lmdbs_is_refused(folder):
    (folder / "data.mdb").write_bytes(b"PK\3\4" * 5000)
    with pytest.raises(UserError, match=r"data\.mdb: not a data file of LMDB"):
        ImageSource(str(folder))


def test_a_listed_image_that_is_not_stored_is_refused_by_name(folder):
    relist(folder, lambda lines: [*lines, "0099.png (41,38,3) 1\n", "0098.png (41,38,3) 1\n"])
    with pytest.raises(UserError, match=r"lists 2 image\(s\) that data\.mdb does not hold \('0099', \.\.\.\)"):
        ImageSource(str(folder))


@pytest.mark.parametrize("size", ["(100000,100000,3)", "(38,41,3)"])
def test_a_listed_size_that_differs_from_the_stored_one_is_refused_before_allocating(folder, size):
    relist(folder, lambda lines: [line.replace("(41,38,3)", size) if "0007" in line else line for line in lines])
    with pytest.raises(UserError, match=r"meta_info.txt lists '0007' as \d+x\d+, but data\.mdb holds 38x41"):
        ImageSource(str(folder))


def test_images_that_are_stored_but_not_listed_are_reported_and_ignored(folder, capsys):
    relist(folder, lambda lines: lines[:9])
    assert len(ImageSource(str(folder)).sizes) == 9
    assert "3 of 12 images are not in meta_info.txt and are ignored" in capsys.readouterr().err


def test_a_replaced_lmdb_is_opened_again(folder, tmp_path):
    assert len(ImageSource(str(folder)).sizes) == 12
    shutil.rmtree(folder)
    shutil.rmtree(tmp_path / "hr")
    to_lmdb(write_images(tmp_path / "hr", 2, (20, 30)))
    assert ImageSource(str(folder)).read("0001").shape == (20, 30, 3)


@pytest.mark.parametrize("root", ["hr", "hr.lmdb"])
def test_a_cache_that_exceeds_the_free_memory_is_refused_before_it_is_filled(folder, root, monkeypatch):
    source = ImageSource(str(folder.with_name(root)))
    needed = 12 * 41 * 38 * 3
    monkeypatch.setattr(image_source, "memory_left", lambda: needed - 1)
    with pytest.raises(
        UserError, match=r"^cache: the images of .* \(the largest, '0001', is 38x41\); set cache: false"
    ):
        source.fill_cache(source.sizes, progress=False)
    monkeypatch.setattr(image_source, "memory_left", lambda: needed)
    source.fill_cache(source.sizes, progress=False)
