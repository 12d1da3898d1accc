"""Which files below a folder are found, and where their crops lie."""

import os

import pytest
from lmdb_helpers import run_prepare, write_image

from clit_plugin.data.lmdb_files.sources import crop_starts, find_sources


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


def test_cyclic_links_do_not_recurse_forever(tmp_path):
    folder = tmp_path / "up" / "images"
    write_image(folder / "a.png")
    write_image(folder / "deep" / "b.png")
    write_image(tmp_path / "up" / "above.png")
    for link, target in {"loop": "..", "deep/self": ".", "deep/top": "../..", "again": "deep"}.items():
        (folder / link).symlink_to(target)
    assert list(find_sources(folder)) == ["a.png", "deep/b.png"]


def test_links_to_other_folders_are_followed_once(tmp_path):
    write_image(tmp_path / "images" / "a.png")
    for one, other in (("x", "y"), ("y", "x")):
        write_image(tmp_path / one / f"{one}.png")
        (tmp_path / one / "other").symlink_to(tmp_path / other)
    (tmp_path / "images" / "link").symlink_to(tmp_path / "x")
    assert list(find_sources(tmp_path / "images")) == ["a.png", "link/other/y.png", "link/x.png"]


def test_a_pipe_named_like_an_image_is_refused_without_waiting(paths, capsys):
    folder, output = paths
    write_image(folder / "a.png")
    os.mkfifo(folder / "b.png")
    assert run_prepare(folder, output) == 2
    assert f"{folder / 'b.png'}: is a pipe or a device, not a file; remove it" in capsys.readouterr().err
    assert not list(folder.parent.glob("out*"))
