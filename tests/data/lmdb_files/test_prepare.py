"""What ``clit prepare`` stores, and what it refuses."""

import json
import os

import cv2
import numpy as np
import pytest
from lmdb_helpers import read_image, run_prepare, write_image, write_images

from clit_plugin.data.lmdb_files.prepare import prepare_lmdb
from clit_plugin.data.lmdb_files.reader import read_meta_info
from clit_plugin.data.lmdb_files.writer import LmdbWriter
from clit_plugin.utils.errors import UserError


def test_basicsr_reads_back_every_pixel(paths):
    folder, output = paths
    images = write_images(folder, 5)
    assert run_prepare(folder, output) == 0
    for key, image in images.items():
        np.testing.assert_array_equal(read_image(output, key), image)


def test_equal_names_in_different_folders_get_different_keys(paths):  # BasicSR #16, #239
    folder, output = paths
    images = {f"{name}/0001": write_image(folder / name / "0001.png", seed=seed) for seed, name in enumerate("abc")}
    run_prepare(folder, output)
    assert list(read_meta_info(output)) == ["a/0001", "b/0001", "c/0001"]
    for key, image in images.items():
        np.testing.assert_array_equal(read_image(output, key), image)


@pytest.mark.parametrize("options", [[], ["--sub-image", "4"]])
def test_files_of_the_same_stem_keep_their_extension_in_the_key_on_request(paths, capsys, options):
    folder, output = paths
    images = {
        name: write_image(folder / name, seed=seed, shape=(4, 4, 3)) for seed, name in enumerate(["a.png", "a.bmp"])
    }
    assert run_prepare(folder, output, *options) == 2
    assert "a.bmp and a.png would both get the key 'a'" in capsys.readouterr().err
    assert run_prepare(folder, output, *options, "--keep-extension") == 0
    number = "_s001" if options else ""
    assert list(read_meta_info(output)) == [f"a.bmp{number}", f"a.png{number}"]
    for name, image in images.items():
        np.testing.assert_array_equal(read_image(output, name + number), image)


def test_names_that_are_not_ascii_are_readable_through_basicsr(paths):
    folder, output = paths
    image = write_image(folder / "größe 100%.png")
    run_prepare(folder, output)
    assert list(read_meta_info(output)) == ["gr%C3%B6%C3%9Fe 100%25"]
    np.testing.assert_array_equal(read_image(output, "gr%C3%B6%C3%9Fe 100%25"), image)


def test_images_of_different_sizes_are_listed_with_their_sizes(paths):
    folder, output = paths
    write_image(folder / "b.bmp", shape=(4, 6, 3))
    write_image(folder / "a.PNG", shape=(300, 200, 3))
    run_prepare(folder, output)
    assert (output / "meta_info.txt").read_text() == "a.png (300,200,3) 1\nb.png (4,6,3) 1\n"


def test_hidden_files_and_files_that_are_not_images_are_skipped(paths):
    folder, output = paths
    write_image(folder / "a.png")
    for name in ("._a.png", ".cache/b.png", "Thumbs.db", "notes.txt"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(b"no image")
    run_prepare(folder, output)
    assert list(read_meta_info(output)) == ["a"]


def test_nothing_but_the_lmdb_is_left(paths):
    folder, output = paths
    write_images(folder, 2)
    run_prepare(folder, output)
    assert sorted(path.name for path in output.parent.iterdir()) == ["images", "out.lmdb"]
    assert sorted(path.name for path in output.iterdir()) == ["data.mdb", "lock.mdb", "meta_info.txt", "prepare.json"]


def test_the_result_does_not_depend_on_the_number_of_workers(paths, tmp_path):
    folder, output = paths
    images = write_images(folder, 40)
    run_prepare(folder, output, "--workers", "1")
    run_prepare(folder, tmp_path / "other.lmdb", "--workers", "7")
    assert (output / "meta_info.txt").read_bytes() == (tmp_path / "other.lmdb" / "meta_info.txt").read_bytes()
    for key in images:
        np.testing.assert_array_equal(read_image(output, key), read_image(tmp_path / "other.lmdb", key))


@pytest.mark.parametrize(
    ("shape", "dtype", "got"),
    [
        ((9, 7), np.uint8, "1 channel"),
        ((9, 7, 4), np.uint8, "4 channel"),
        ((9, 7, 3), np.uint16, "3 channel.* of uint16"),
    ],
)
def test_an_image_that_is_not_8_bit_rgb_is_refused_by_name(paths, capsys, shape, dtype, got):
    folder, output = paths
    write_image(folder / "odd.png", shape=shape, dtype=dtype)
    assert run_prepare(folder, output) == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if "error" in line]
    assert line.startswith(f"clit prepare: error: {folder / 'odd.png'}: expected an 8-bit RGB image")
    assert "--convert" in line
    assert not output.exists()


def test_convert_repeats_grey_drops_alpha_and_rounds_16_bits(paths):
    folder, output = paths
    grey = write_image(folder / "grey.png", shape=(9, 7))
    bgra = np.random.default_rng(1).integers(0, 256, (9, 7, 4), dtype=np.uint8)
    cv2.imwrite(str(folder / "alpha.png"), bgra)
    deep = write_image(folder / "deep.png", shape=(9, 7, 3), dtype=np.uint16)
    assert run_prepare(folder, output, "--convert") == 0
    np.testing.assert_array_equal(read_image(output, "grey"), np.repeat(grey[..., None], 3, axis=2))
    np.testing.assert_array_equal(read_image(output, "alpha"), bgra[..., 2::-1])
    np.testing.assert_array_equal(read_image(output, "deep"), np.rint(deep / 257).astype(np.uint8))


def test_sub_images_are_numbered_row_by_row(paths):
    folder, output = paths
    image = write_image(folder / "a.png", shape=(9, 11, 3))
    assert run_prepare(folder, output, "--sub-image", "6", "--step", "4") == 0
    corners = [(0, 0), (0, 4), (0, 5), (3, 0), (3, 4), (3, 5)]
    assert read_meta_info(output) == {f"a_s00{number}": (6, 6) for number in range(1, 7)}
    for number, (top, left) in enumerate(corners, start=1):
        np.testing.assert_array_equal(read_image(output, f"a_s00{number}"), image[top : top + 6, left : left + 6])


def test_the_step_is_half_the_sub_image_by_default(paths):
    folder, output = paths
    write_image(folder / "a.png", shape=(6, 12, 3))
    run_prepare(folder, output, "--sub-image", "6")
    assert len(read_meta_info(output)) == 3


def test_an_image_smaller_than_the_sub_image_is_named_with_the_remedy(paths, capsys):
    folder, output = paths
    write_image(folder / "small.png", shape=(9, 7, 3))
    assert run_prepare(folder, output, "--sub-image", "8") == 2
    error = capsys.readouterr().err
    assert f"{folder / 'small.png'}: 7x9 is smaller than a sub-image of 8x8" in error
    assert "--sub-image 7 or less" in error


@pytest.mark.parametrize(
    ("options", "message"),
    [(["--step", "4"], "give --sub-image too"), (["--sub-image", "4", "--step", "6"], "pixels between the crops")],
)
def test_an_invalid_step_is_refused(paths, capsys, options, message):
    folder, output = paths
    write_image(folder / "a.png")
    assert run_prepare(folder, output, *options) == 2
    assert message in capsys.readouterr().err


def test_two_files_with_one_key_are_both_named(paths):
    folder, output = paths
    write_image(folder / "x" / "a.png")
    write_image(folder / "x" / "a.jpg")
    with pytest.raises(UserError, match="x/a.jpg and x/a.png would both get the key 'x/a'"):
        prepare_lmdb(folder=folder, output=output)
    assert list(output.parent.iterdir()) == [folder]


@pytest.mark.parametrize("exists", [True, False])
def test_a_folder_without_images_is_named(paths, capsys, exists):
    folder, output = paths
    if exists:
        folder.mkdir()
    assert run_prepare(folder, output) == 2
    expected = "no images in it or its subfolders; looked for .png, .jpg" if exists else "no such folder of images"
    assert f"{folder}: {expected}" in capsys.readouterr().err


def test_an_output_must_end_in_lmdb(paths, tmp_path):
    write_image(paths[0] / "a.png")
    assert run_prepare(paths[0], tmp_path / "out") == 2
    assert not (tmp_path / "out.partial").exists()


def test_a_dangling_link_is_named(paths, capsys):
    folder, output = paths
    write_image(folder / "a.png")
    (folder / "b.png").symlink_to(folder / "gone.png")
    assert run_prepare(folder, output) == 2
    assert f"{folder / 'b.png'}: cannot be read (No such file or directory)" in capsys.readouterr().err


def test_a_damaged_image_is_named_and_the_others_are_kept_for_the_next_run(paths, encoded, capsys):  # BasicSR #34
    folder, output = paths
    images = write_images(folder, 40)
    content = (folder / "0030.png").read_bytes()
    (folder / "0030.png").write_bytes(content[: len(content) // 2])
    assert run_prepare(folder, output, "--workers", "2") == 2
    assert f"{folder / '0030.png'}: not a readable image" in capsys.readouterr().err
    assert not output.exists()
    encoded.restart()
    (folder / "0030.png").write_bytes(content)
    assert run_prepare(folder, output) == 0
    assert encoded.sources == [f"{number:04d}.png" for number in range(30, 40)]
    for key, image in images.items():
        np.testing.assert_array_equal(read_image(output, key), image)


def test_a_full_disk_is_an_error_in_one_line(paths, monkeypatch, capsys):
    folder, output = paths
    write_image(folder / "a.png")
    monkeypatch.setattr(LmdbWriter, "write_meta_info", lambda self: os.write(os.open("/dev/full", 1), b"x"))
    assert run_prepare(folder, output) == 2
    assert f"{output}.partial: no space left on the disk" in capsys.readouterr().err


def test_the_signature_holds_no_absolute_path(paths):
    folder, output = paths
    write_image(folder / "a" / "b.png")
    run_prepare(folder, output)
    signature = json.loads((output / "prepare.json").read_text())
    assert list(signature["sources"]) == ["a/b.png"]
    assert str(folder) not in json.dumps(signature)
