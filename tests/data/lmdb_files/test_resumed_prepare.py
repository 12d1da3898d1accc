"""Interrupted and repeated runs of ``clit prepare``."""

import os
from pathlib import Path

import numpy as np
import pytest
from lmdb_helpers import read_image, run_prepare, write_image, write_images

from clit_plugin.data.lmdb_files.reader import read_meta_info
from clit_plugin.data.lmdb_files.writer import LmdbWriter


def test_after_an_interruption_only_the_remaining_images_are_encoded(paths, encoded, capsys):
    folder, output = paths
    images = write_images(folder, 50)
    encoded.stop_after = 37
    assert run_prepare(folder, output, "--workers", "1") == 130
    assert "run the same command again to continue" in capsys.readouterr().err
    assert not output.exists()
    encoded.restart()
    assert run_prepare(folder, output) == 0
    assert encoded.sources == [f"{number:04d}.png" for number in range(37, 50)]
    assert "resuming, 37 of 50 images are done" in capsys.readouterr().err
    for key, image in images.items():
        np.testing.assert_array_equal(read_image(output, key), image)


def test_changed_settings_start_over(paths, encoded, capsys):
    folder, output = paths
    write_images(folder, 10)
    encoded.stop_after = 5
    run_prepare(folder, output, "--workers", "1")
    encoded.restart()
    assert run_prepare(folder, output, "--sub-image", "4") == 0
    assert f"{output}.partial: made from other images or with other settings, discarded" in capsys.readouterr().err
    assert len(encoded.sources) == 10
    assert all("_s0" in key for key in read_meta_info(output))


def test_a_different_folder_of_images_starts_over(paths, encoded, tmp_path, capsys):
    folder, output = paths
    write_images(folder, 10, shape=(200, 200, 3))
    write_image(tmp_path / "others" / "0003.png", seed=99, shape=(3, 3, 3))
    encoded.stop_after = 5
    run_prepare(folder, output, "--workers", "1")
    encoded.restart()
    assert run_prepare(tmp_path / "others", output) == 0
    assert "discarded" in capsys.readouterr().err
    assert read_meta_info(output) == {"0003": (3, 3)}
    assert (output / "data.mdb").stat().st_size < 100_000  # not the first ones' file, with holes


def test_images_of_files_that_changed_or_were_removed_meanwhile_are_not_kept(paths, encoded, capsys):
    folder, output = paths
    write_images(folder, 10)
    encoded.stop_after = 8
    run_prepare(folder, output, "--workers", "1")
    encoded.restart()
    (folder / "0002.png").unlink()
    changed = write_image(folder / "0004.png", seed=99, shape=(5, 5, 3))
    assert run_prepare(folder, output) == 0
    assert encoded.sources == ["0004.png", "0008.png", "0009.png"]
    assert "2 images have changed or are gone, discarded" in capsys.readouterr().err
    assert "0002" not in read_meta_info(output)
    np.testing.assert_array_equal(read_image(output, "0004"), changed)


def test_an_interrupted_check_resumes_without_encoding_again(paths, encoded, monkeypatch):
    folder, output = paths
    write_images(folder, 5)
    with monkeypatch.context() as patch:
        patch.setattr(LmdbWriter, "write_meta_info", lambda self: (_ for _ in ()).throw(KeyboardInterrupt))
        assert run_prepare(folder, output) == 130
    encoded.restart()
    assert run_prepare(folder, output) == 0
    assert encoded.sources == []
    assert len(read_meta_info(output)) == 5


def test_every_image_is_read_back_before_the_lmdb_gets_its_name(paths, monkeypatch, capsys):
    folder, output = paths
    write_images(folder, 5)
    read = LmdbWriter.read
    monkeypatch.setattr(LmdbWriter, "read", lambda self, key: read(self, "0001" if key == "0003" else key))
    assert run_prepare(folder, output) == 2
    assert "key '0003': does not read back as written" in capsys.readouterr().err
    assert not output.exists()


def test_a_foreign_folder_in_place_of_the_work_folder_is_left_alone(paths, capsys):
    folder, output = paths
    write_image(folder / "a.png")
    precious = Path(f"{output}.partial", "precious.txt")
    precious.parent.mkdir()
    precious.write_text("mine")
    assert run_prepare(folder, output) == 2
    assert "not made by 'clit prepare'" in capsys.readouterr().err
    assert precious.read_text() == "mine"


def test_an_lmdb_that_is_up_to_date_is_left_untouched(paths, encoded, capsys):
    folder, output = paths
    write_images(folder, 3)
    run_prepare(folder, output)
    encoded.restart()
    before = {path.name: path.stat().st_mtime_ns for path in output.iterdir()}
    assert run_prepare(folder, output) == 0
    assert f"{output}: already prepared" in capsys.readouterr().err
    assert encoded.sources == []
    assert {path.name: path.stat().st_mtime_ns for path in output.iterdir()} == before


@pytest.mark.parametrize("change", ["another image", "a changed image", "another setting", "a lost list"])
def test_an_lmdb_that_is_out_of_date_is_replaced_only_on_request(paths, capsys, change):
    folder, output = paths
    write_images(folder, 3)
    run_prepare(folder, output)
    if change == "another image":
        write_image(folder / "new.png")
    elif change == "a changed image":
        os.utime(folder / "0001.png", ns=(1, 1))
    elif change == "a lost list":
        (output / "meta_info.txt").unlink()
    options = ["--convert"] if change == "another setting" else []
    assert run_prepare(folder, output, *options) == 2
    assert f"{output}: already exists" in capsys.readouterr().err
    assert run_prepare(folder, output, *options, "--overwrite") == 0
    assert len(read_meta_info(output)) == (4 if change == "another image" else 3)
    assert sorted(path.name for path in output.parent.iterdir()) == ["images", "out.lmdb"]


def test_the_old_lmdb_stays_until_the_new_one_is_complete(paths, encoded):
    folder, output = paths
    write_images(folder, 3)
    run_prepare(folder, output)
    (folder / "0001.png").unlink()
    encoded.stop_after = len(encoded.sources) + 1
    assert run_prepare(folder, output, "--overwrite", "--workers", "1") == 130
    assert len(read_meta_info(output)) == 3


def test_overwrite_keeps_a_folder_that_is_not_an_lmdb(paths, capsys):
    folder, output = paths
    write_image(folder / "a.png")
    output.mkdir()
    (output / "precious.txt").write_text("mine")
    assert run_prepare(folder, output, "--overwrite") == 2
    assert "not an LMDB (no data.mdb), and therefore not replaced" in capsys.readouterr().err
    assert (output / "precious.txt").read_text() == "mine"


@pytest.mark.parametrize("where", ["the LMDB", "its work folder"])
def test_overwrite_keeps_a_folder_that_holds_other_files(paths, capsys, where):
    folder, output = paths
    write_images(folder, 4)
    run_prepare(folder, output)
    if where == "its work folder":
        os.replace(output, output.with_name("out.lmdb.partial"))
        output = output.with_name("out.lmdb.partial")
    (output / "notes").mkdir()
    (output / "notes" / "mine.txt").write_text("mine")
    for number in range(3):
        (folder / f"{number:04d}.png").unlink()
    capsys.readouterr()
    assert run_prepare(folder, paths[1], "--overwrite") == 2
    error = capsys.readouterr().err
    assert f"{output}: not replaced, as it also holds notes; move that away" in error
    assert (output / "notes" / "mine.txt").read_text() == "mine" and (output / "data.mdb").is_file()
