import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from clit_plugin.commands.cli import main
from clit_plugin.data.image_io import decode_rgb
from clit_plugin.data.lmdb_files import prepare as prepare_lmdb
from clit_plugin.data.lmdb_files import sources as lmdb_sources
from clit_plugin.data.lmdb_files.reader import read_meta_info
from clit_plugin.data.lmdb_files.sources import crop_starts, find_sources
from clit_plugin.utils.errors import UserError

SCRIPTS = Path(__file__).parents[3] / "scripts"


def write_image(path, *, seed=0, shape=(9, 7, 3), dtype=np.uint8):
    image = np.random.default_rng(seed).integers(0, np.iinfo(dtype).max, shape, dtype=dtype, endpoint=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(cv2.imencode(path.suffix, image)[1].tobytes())
    return image[..., ::-1] if len(shape) == 3 else image  # RGB


def write_images(folder, count, **options):
    return {
        f"{number:04d}": write_image(folder / f"{number:04d}.png", seed=number, **options) for number in range(count)
    }


def read_image(output, key):
    from basicsr.utils import FileClient  # only after clit_plugin, which repairs it

    client = FileClient("lmdb", db_paths=[str(output)], client_keys=["gt"])
    return decode_rgb(client.get(key, "gt"), key)


def run(folder, output, *options):
    return main(["prepare", str(folder), "-o", str(output), *options])


@pytest.fixture
def paths(tmp_path):
    return tmp_path / "images", tmp_path / "out.lmdb"


@pytest.fixture
def encoded(monkeypatch):
    """The sources that were encoded, and a number of them after which Ctrl-C is pressed."""
    names, limit = [], []

    def encode(*, source, **options):
        if limit and len(names) >= limit[0]:
            raise KeyboardInterrupt
        names.append(source)
        return lmdb_sources.encode_source(source=source, **options)

    monkeypatch.setattr(prepare_lmdb, "encode_source", encode)
    return names, limit


# What is stored


def test_basicsr_reads_back_every_pixel(paths):
    folder, output = paths
    images = write_images(folder, 5)
    assert run(folder, output) == 0
    for key, image in images.items():
        np.testing.assert_array_equal(read_image(output, key), image)


def test_equal_names_in_different_folders_stay_apart(paths):  # BasicSR #16, #239
    folder, output = paths
    images = {f"{name}/0001": write_image(folder / name / "0001.png", seed=seed) for seed, name in enumerate("abc")}
    run(folder, output)
    assert list(read_meta_info(output)) == ["a/0001", "b/0001", "c/0001"]
    for key, image in images.items():
        np.testing.assert_array_equal(read_image(output, key), image)


@pytest.mark.parametrize("options", [[], ["--sub-image", "4"]])
def test_files_of_one_stem_are_told_apart_by_their_extension_on_request(paths, capsys, options):
    folder, output = paths
    images = {
        name: write_image(folder / name, seed=seed, shape=(4, 4, 3)) for seed, name in enumerate(["a.png", "a.bmp"])
    }
    assert run(folder, output, *options) == 2
    assert "a.bmp and a.png would both get the key 'a'" in capsys.readouterr().err
    assert run(folder, output, *options, "--keep-extension") == 0
    number = "_s001" if options else ""
    assert list(read_meta_info(output)) == [f"a.bmp{number}", f"a.png{number}"]
    for name, image in images.items():
        np.testing.assert_array_equal(read_image(output, name + number), image)


def test_names_that_are_not_ascii_are_readable_through_basicsr(paths):
    folder, output = paths
    image = write_image(folder / "größe 100%.png")
    run(folder, output)
    assert list(read_meta_info(output)) == ["gr%C3%B6%C3%9Fe 100%25"]
    np.testing.assert_array_equal(read_image(output, "gr%C3%B6%C3%9Fe 100%25"), image)


def test_images_of_different_sizes_are_listed_with_theirs(paths):
    folder, output = paths
    write_image(folder / "b.bmp", shape=(4, 6, 3))
    write_image(folder / "a.PNG", shape=(300, 200, 3))
    run(folder, output)
    assert (output / "meta_info.txt").read_text() == "a.png (300,200,3) 1\nb.png (4,6,3) 1\n"


def test_hidden_files_and_files_that_are_no_images_are_passed_over(paths):
    folder, output = paths
    write_image(folder / "a.png")
    for name in ("._a.png", ".cache/b.png", "Thumbs.db", "notes.txt"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(b"no image")
    run(folder, output)
    assert list(read_meta_info(output)) == ["a"]


def test_nothing_but_the_lmdb_is_left(paths):
    folder, output = paths
    write_images(folder, 2)
    run(folder, output)
    assert sorted(path.name for path in output.parent.iterdir()) == ["images", "out.lmdb"]
    assert sorted(path.name for path in output.iterdir()) == ["data.mdb", "lock.mdb", "meta_info.txt", "prepare.json"]


def test_the_result_does_not_depend_on_the_number_of_workers(paths, tmp_path):
    folder, output = paths
    images = write_images(folder, 40)
    run(folder, output, "--workers", "1")
    run(folder, tmp_path / "other.lmdb", "--workers", "7")
    assert (output / "meta_info.txt").read_bytes() == (tmp_path / "other.lmdb" / "meta_info.txt").read_bytes()
    for key in images:
        np.testing.assert_array_equal(read_image(output, key), read_image(tmp_path / "other.lmdb", key))


# Grey, transparent and 16-bit images


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
    assert run(folder, output) == 2
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
    assert run(folder, output, "--convert") == 0
    np.testing.assert_array_equal(read_image(output, "grey"), np.repeat(grey[..., None], 3, axis=2))
    np.testing.assert_array_equal(read_image(output, "alpha"), bgra[..., 2::-1])
    np.testing.assert_array_equal(read_image(output, "deep"), np.rint(deep / 257).astype(np.uint8))


# Sub-images


@pytest.mark.parametrize(
    ("length", "size", "step", "starts"),
    [
        (13, 5, 3, [0, 3, 6, 8]),
        (11, 5, 3, [0, 3, 6]),
        (5, 5, 3, [0]),
        (6, 5, 3, [0, 1]),
        (1356, 480, 240, [0, 240, 480, 720, 876]),
        (2040, 480, 240, [0, 240, 480, 720, 960, 1200, 1440, 1560]),
    ],
)
def test_the_last_crop_ends_at_the_border(length, size, step, starts):
    assert crop_starts(length, size=size, step=step) == starts


def test_sub_images_are_numbered_row_by_row(paths):
    folder, output = paths
    image = write_image(folder / "a.png", shape=(9, 11, 3))
    assert run(folder, output, "--sub-image", "6", "--step", "4") == 0
    corners = [(0, 0), (0, 4), (0, 5), (3, 0), (3, 4), (3, 5)]
    assert read_meta_info(output) == {f"a_s00{number}": (6, 6) for number in range(1, 7)}
    for number, (top, left) in enumerate(corners, start=1):
        np.testing.assert_array_equal(read_image(output, f"a_s00{number}"), image[top : top + 6, left : left + 6])


def test_the_step_is_half_the_sub_image_by_default(paths):
    folder, output = paths
    write_image(folder / "a.png", shape=(6, 12, 3))
    run(folder, output, "--sub-image", "6")
    assert len(read_meta_info(output)) == 3


def test_an_image_smaller_than_the_sub_image_is_named_with_the_remedy(paths, capsys):
    folder, output = paths
    write_image(folder / "small.png", shape=(9, 7, 3))
    assert run(folder, output, "--sub-image", "8") == 2
    error = capsys.readouterr().err
    assert f"{folder / 'small.png'}: 9 x 7 pixels (height x width) hold no sub-image of 8 x 8" in error
    assert "--sub-image 7 or less" in error


@pytest.mark.parametrize(
    ("options", "message"),
    [(["--step", "4"], "give --sub-image too"), (["--sub-image", "4", "--step", "6"], "pixels between the crops")],
)
def test_a_step_that_makes_no_sense_is_refused(paths, capsys, options, message):
    folder, output = paths
    write_image(folder / "a.png")
    assert run(folder, output, *options) == 2
    assert message in capsys.readouterr().err


# Bad input


def test_two_files_with_one_key_are_both_named(paths):
    folder, output = paths
    write_image(folder / "x" / "a.png")
    write_image(folder / "x" / "a.jpg")
    with pytest.raises(UserError, match="x/a.jpg and x/a.png would both get the key 'x/a'"):
        prepare_lmdb.prepare_lmdb(folder=folder, output=output)
    assert list(output.parent.iterdir()) == [folder]


@pytest.mark.parametrize("exists", [True, False])
def test_a_folder_without_images_is_named(paths, capsys, exists):
    folder, output = paths
    if exists:
        folder.mkdir()
    assert run(folder, output) == 2
    expected = "no images there or below; looked for .png, .jpg" if exists else "no such folder of images"
    assert f"{folder}: {expected}" in capsys.readouterr().err


def test_an_output_must_end_in_lmdb(paths, tmp_path):
    write_image(paths[0] / "a.png")
    assert run(paths[0], tmp_path / "out") == 2
    assert not (tmp_path / "out.partial").exists()


def test_a_dangling_link_is_named(paths, capsys):
    folder, output = paths
    write_image(folder / "a.png")
    (folder / "b.png").symlink_to(folder / "gone.png")
    assert run(folder, output) == 2
    assert f"{folder / 'b.png'}: cannot be read (No such file or directory)" in capsys.readouterr().err


def test_a_damaged_image_is_named_and_the_others_wait_for_the_next_run(paths, encoded, capsys):  # BasicSR #34
    folder, output = paths
    images = write_images(folder, 40)
    content = (folder / "0030.png").read_bytes()
    (folder / "0030.png").write_bytes(content[: len(content) // 2])
    assert run(folder, output, "--workers", "2") == 2
    assert f"{folder / '0030.png'}: not a readable image" in capsys.readouterr().err
    assert not output.exists()
    encoded[0].clear()
    (folder / "0030.png").write_bytes(content)
    assert run(folder, output) == 0
    assert encoded[0] == [f"{number:04d}.png" for number in range(30, 40)]
    for key, image in images.items():
        np.testing.assert_array_equal(read_image(output, key), image)


def test_a_full_disk_is_an_error_in_one_line(paths, monkeypatch, capsys):
    folder, output = paths
    write_image(folder / "a.png")
    monkeypatch.setattr(
        prepare_lmdb.LmdbWriter, "write_meta_info", lambda self: os.write(os.open("/dev/full", 1), b"x")
    )
    assert run(folder, output) == 2
    assert f"{output}.partial: no space left on the disk" in capsys.readouterr().err


# Stopping and going on


def test_after_an_interruption_only_the_rest_is_encoded(paths, encoded, capsys):
    folder, output = paths
    images = write_images(folder, 50)
    encoded[1].append(37)
    assert run(folder, output, "--workers", "1") == 130
    assert "run the same command again to go on" in capsys.readouterr().err
    assert not output.exists()
    encoded[0].clear()
    encoded[1].clear()
    assert run(folder, output) == 0
    assert encoded[0] == [f"{number:04d}.png" for number in range(37, 50)]
    assert "going on, 37 of 50 images are there already" in capsys.readouterr().err
    for key, image in images.items():
        np.testing.assert_array_equal(read_image(output, key), image)


def test_other_settings_start_anew(paths, encoded, capsys):
    folder, output = paths
    write_images(folder, 10)
    encoded[1].append(5)
    run(folder, output, "--workers", "1")
    encoded[0].clear()
    encoded[1].clear()
    assert run(folder, output, "--sub-image", "4") == 0
    assert f"{output}.partial: made of other images or with other settings, thrown away" in capsys.readouterr().err
    assert len(encoded[0]) == 10
    assert all("_s0" in key for key in read_meta_info(output))


def test_other_images_start_anew(paths, encoded, tmp_path, capsys):
    folder, output = paths
    write_images(folder, 10, shape=(200, 200, 3))
    write_image(tmp_path / "others" / "0003.png", seed=99, shape=(3, 3, 3))
    encoded[1].append(5)
    run(folder, output, "--workers", "1")
    encoded[1].clear()
    assert run(tmp_path / "others", output) == 0
    assert "thrown away" in capsys.readouterr().err
    assert read_meta_info(output) == {"0003": (3, 3)}
    assert (output / "data.mdb").stat().st_size < 100_000  # not the first ones' file, with holes


def test_a_file_that_changed_or_left_in_the_meantime_is_not_kept(paths, encoded, capsys):
    folder, output = paths
    write_images(folder, 10)
    encoded[1].append(8)
    run(folder, output, "--workers", "1")
    encoded[0].clear()
    encoded[1].clear()
    (folder / "0002.png").unlink()
    changed = write_image(folder / "0004.png", seed=99, shape=(5, 5, 3))
    assert run(folder, output) == 0
    assert encoded[0] == ["0004.png", "0008.png", "0009.png"]
    assert "2 images have changed or are gone since" in capsys.readouterr().err
    assert "0002" not in read_meta_info(output)
    np.testing.assert_array_equal(read_image(output, "0004"), changed)


def test_an_interruption_of_the_check_costs_no_encoding(paths, encoded, monkeypatch):
    folder, output = paths
    write_images(folder, 5)
    with monkeypatch.context() as patch:
        patch.setattr(prepare_lmdb.LmdbWriter, "write_meta_info", lambda self: (_ for _ in ()).throw(KeyboardInterrupt))
        assert run(folder, output) == 130
    encoded[0].clear()
    assert run(folder, output) == 0
    assert encoded[0] == []
    assert len(read_meta_info(output)) == 5


def test_every_image_is_read_back_before_the_lmdb_gets_its_name(paths, monkeypatch, capsys):
    folder, output = paths
    write_images(folder, 5)
    read = prepare_lmdb.LmdbWriter.read
    monkeypatch.setattr(prepare_lmdb.LmdbWriter, "read", lambda self, key: read(self, "0001" if key == "0003" else key))
    assert run(folder, output) == 2
    assert "key '0003': reads back otherwise than written" in capsys.readouterr().err
    assert not output.exists()


def test_a_strange_folder_in_the_place_of_the_work_is_left_alone(paths, capsys):
    folder, output = paths
    write_image(folder / "a.png")
    precious = Path(f"{output}.partial", "precious.txt")
    precious.parent.mkdir()
    precious.write_text("mine")
    assert run(folder, output) == 2
    assert "was not made by 'clit prepare'" in capsys.readouterr().err
    assert precious.read_text() == "mine"


# An output that exists


def test_what_is_prepared_already_is_left_as_it_is(paths, encoded, capsys):
    folder, output = paths
    write_images(folder, 3)
    run(folder, output)
    encoded[0].clear()
    before = {path.name: path.stat().st_mtime_ns for path in output.iterdir()}
    assert run(folder, output) == 0
    assert f"{output}: already prepared" in capsys.readouterr().err
    assert encoded[0] == []
    assert {path.name: path.stat().st_mtime_ns for path in output.iterdir()} == before


@pytest.mark.parametrize("change", ["another image", "a changed image", "another setting", "a lost list"])
def test_an_lmdb_made_otherwise_is_replaced_only_on_demand(paths, capsys, change):
    folder, output = paths
    write_images(folder, 3)
    run(folder, output)
    if change == "another image":
        write_image(folder / "new.png")
    elif change == "a changed image":
        os.utime(folder / "0001.png", ns=(1, 1))
    elif change == "a lost list":
        (output / "meta_info.txt").unlink()
    options = ["--convert"] if change == "another setting" else []
    assert run(folder, output, *options) == 2
    assert f"{output}: exists already" in capsys.readouterr().err
    assert run(folder, output, *options, "--overwrite") == 0
    assert len(read_meta_info(output)) == (4 if change == "another image" else 3)
    assert sorted(path.name for path in output.parent.iterdir()) == ["images", "out.lmdb"]


def test_the_old_lmdb_stays_until_the_new_one_is_complete(paths, encoded):
    folder, output = paths
    write_images(folder, 3)
    run(folder, output)
    (folder / "0001.png").unlink()
    encoded[1].append(len(encoded[0]) + 1)
    assert run(folder, output, "--overwrite", "--workers", "1") == 130
    assert len(read_meta_info(output)) == 3


def test_overwrite_spares_a_folder_that_is_no_lmdb(paths, capsys):
    folder, output = paths
    write_image(folder / "a.png")
    output.mkdir()
    (output / "precious.txt").write_text("mine")
    assert run(folder, output, "--overwrite") == 2
    assert "is no LMDB (it holds no data.mdb), so it is not replaced" in capsys.readouterr().err
    assert (output / "precious.txt").read_text() == "mine"


@pytest.mark.parametrize("where", ["the LMDB", "its work folder"])
def test_overwrite_spares_what_is_not_the_lmdbs(paths, capsys, where):
    folder, output = paths
    write_images(folder, 4)
    run(folder, output)
    if where == "its work folder":
        os.replace(output, output.with_name("out.lmdb.partial"))
        output = output.with_name("out.lmdb.partial")
    (output / "notes").mkdir()
    (output / "notes" / "mine.txt").write_text("mine")
    for number in range(3):
        (folder / f"{number:04d}.png").unlink()
    capsys.readouterr()
    assert run(folder, paths[1], "--overwrite") == 2
    error = capsys.readouterr().err
    assert f"{output}: is not replaced, as it holds notes, which is not the LMDB's" in error
    assert (output / "notes" / "mine.txt").read_text() == "mine" and (output / "data.mdb").is_file()


# Folders with links


def test_links_that_lead_back_or_up_end(tmp_path):
    folder = tmp_path / "up" / "images"
    write_image(folder / "a.png")
    write_image(folder / "deep" / "b.png")
    write_image(tmp_path / "up" / "above.png")
    for link, target in {"loop": "..", "deep/self": ".", "deep/top": "../..", "again": "deep"}.items():
        (folder / link).symlink_to(target)
    assert list(find_sources(folder)) == ["a.png", "deep/b.png"]


def test_a_link_to_a_folder_elsewhere_is_followed_and_links_among_such_folders_end(tmp_path):
    write_image(tmp_path / "images" / "a.png")
    for one, other in (("x", "y"), ("y", "x")):
        write_image(tmp_path / one / f"{one}.png")
        (tmp_path / one / "other").symlink_to(tmp_path / other)
    (tmp_path / "images" / "link").symlink_to(tmp_path / "x")
    assert list(find_sources(tmp_path / "images")) == ["a.png", "link/other/y.png", "link/x.png"]


def test_a_pipe_named_like_an_image_is_refused_and_not_waited_for(paths, capsys):
    folder, output = paths
    write_image(folder / "a.png")
    os.mkfifo(folder / "b.png")
    assert run(folder, output) == 2
    assert f"{folder / 'b.png'}: is a pipe or a device, not a file; remove it" in capsys.readouterr().err
    assert not list(folder.parent.glob("out*"))


# The command


def test_the_signature_holds_no_absolute_path(paths):
    folder, output = paths
    write_image(folder / "a" / "b.png")
    run(folder, output)
    signature = json.loads((output / "prepare.json").read_text())
    assert list(signature["sources"]) == ["a/b.png"]
    assert str(folder) not in json.dumps(signature)


def test_help_teaches_with_examples(capsys):
    with pytest.raises(SystemExit, match="0"):
        main(["prepare", "--help"])
    text = capsys.readouterr().out
    assert text.count("    clit prepare datasets/") == 2
    assert "--sub-image 480 --step 240" in text


@pytest.mark.parametrize("number", ["0", "-3", "many"])
def test_a_number_of_workers_below_one_is_refused(paths, capsys, number):
    with pytest.raises(SystemExit, match="2"):
        run(*paths, f"--workers={number}")
    assert f"expected a whole number above 0, got '{number}'" in capsys.readouterr().err


# The scripts, in a repository whose `clit` is a stand-in


@pytest.fixture
def repository(tmp_path):
    """Copies of the scripts; ``clit`` notes its arguments, and fails on folders that hold a file named fail."""
    root = tmp_path / "repository"
    shutil.copytree(SCRIPTS, root / "scripts")
    clit = root / ".venv" / "bin" / "clit"
    clit.parent.mkdir(parents=True)
    clit.write_text(
        '#!/bin/sh\necho "clit $*"\nfor last; do :; done\n[ ! -e "$last/fail" ] || exit "$(cat "$last/fail")"\n'
    )
    clit.chmod(0o755)
    return root


def run_script(repository, name, *arguments):
    command = ["bash", str(repository / "scripts" / name), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, cwd=repository.parent)


def commands(result):
    return [line for line in result.stdout.splitlines() if line.startswith("clit ")]


def test_benchmarks_that_are_there_are_prepared_and_the_others_skipped(repository, tmp_path):
    (tmp_path / "my data" / "Set5" / "HR").mkdir(parents=True)
    (tmp_path / "my data" / "Urban100" / "LR_bicubic" / "X4").mkdir(parents=True)
    result = run_script(repository, "prepare_benchmarks.sh", "my data/")
    assert result.returncode == 0
    assert commands(result) == [
        "clit prepare --convert -o my data/Set5_HR.lmdb -- my data/Set5/HR",
        "clit prepare --convert -o my data/Urban100_LR_bicubic_X4.lmdb -- my data/Urban100/LR_bicubic/X4",
    ]
    assert "skipped: my data/Set14/HR is not there" in result.stdout


def test_a_benchmark_that_fails_is_named_after_the_others_are_done(repository, tmp_path):
    for name in ("Set5", "B100"):
        (tmp_path / name / "HR").mkdir(parents=True)
    (tmp_path / "Set5" / "HR" / "fail").write_text("2")
    result = run_script(repository, "prepare_benchmarks.sh", tmp_path)
    assert result.returncode == 1
    assert len(commands(result)) == 2
    assert result.stderr == "prepare_benchmarks.sh: error: failed: Set5/HR\n"


@pytest.mark.parametrize("script", ["prepare_benchmarks.sh", "prepare_div2k.sh"])
def test_an_interruption_stops_the_whole_script(repository, tmp_path, script):
    for name in ("Set5/HR", "B100/HR", "DIV2K_train_HR", "DIV2K_valid_HR"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "fail").write_text("130")
    result = run_script(repository, script, tmp_path)
    assert result.returncode == 130
    assert len(commands(result)) == 1


@pytest.mark.parametrize(
    ("script", "tree"), [("prepare_benchmarks.sh", "Set5/\n"), ("prepare_div2k.sh", "DIV2K_train_HR/0001.png")]
)
def test_nothing_to_prepare_shows_the_tree_that_is_expected(repository, tmp_path, script, tree):
    result = run_script(repository, script, tmp_path / "nowhere")
    assert result.returncode == 2
    assert f"{script}: error: no " in result.stderr
    assert tree in result.stderr


def test_div2k_is_looked_for_in_the_repository_and_prepared_whole(repository):
    data = repository / "datasets" / "DIV2K"
    for name in ("DIV2K_train_HR", "DIV2K_valid_LR_bicubic/X3"):
        (data / name).mkdir(parents=True)
    result = run_script(repository, "prepare_div2k.sh")
    assert result.returncode == 0
    assert commands(result) == [
        f"clit prepare -o {data}/DIV2K_train_HR.lmdb -- {data}/DIV2K_train_HR",
        f"clit prepare -o {data}/DIV2K_valid_LR_bicubic_X3.lmdb -- {data}/DIV2K_valid_LR_bicubic/X3",
    ]


def test_div2k_sub_images_are_made_of_the_training_hr_alone(repository, tmp_path):
    for name in ("DIV2K_train_HR", "DIV2K_valid_HR"):
        (tmp_path / name).mkdir()
    result = run_script(repository, "prepare_div2k.sh", "--sub-images", ".")
    assert commands(result) == [
        "clit prepare --sub-image 480 --step 240 -o ./DIV2K_train_HR_sub.lmdb -- ./DIV2K_train_HR",
        "clit prepare -o ./DIV2K_valid_HR.lmdb -- ./DIV2K_valid_HR",
    ]


def test_a_missing_environment_is_set_up_first(repository, tmp_path):
    clit = repository / ".venv" / "bin" / "clit"
    clit.rename(tmp_path / "clit")
    (repository / "scripts" / "setup.sh").write_text(f'echo set up\nmv "{tmp_path}/clit" "{clit}"\n')
    for name in ("Set5", "Set14"):
        (tmp_path / name / "HR").mkdir(parents=True)
    result = run_script(repository, "prepare_benchmarks.sh", tmp_path)
    assert result.stdout.count("set up") == 1
    assert len(commands(result)) == 2


def test_a_tiny_benchmark_becomes_an_lmdb(repository, tmp_path):
    clit = repository / ".venv" / "bin" / "clit"
    clit.write_text(f'#!/bin/sh\nshift\ncd "{SCRIPTS.parent}" && exec "{sys.executable}" -m clit_plugin prepare "$@"\n')
    image = write_image(tmp_path / "Set14" / "HR" / "bridge.png", shape=(9, 7))
    assert run_script(repository, "prepare_benchmarks.sh", tmp_path).returncode == 0
    assert read_meta_info(tmp_path / "Set14_HR.lmdb") == {"bridge": (9, 7)}
    np.testing.assert_array_equal(read_image(tmp_path / "Set14_HR.lmdb", "bridge")[..., 0], image)
