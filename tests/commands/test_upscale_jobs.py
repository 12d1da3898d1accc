"""Which images ``clit upscale`` finds, and what it says of others."""

import argparse

import pytest
from PIL import Image

from clit_plugin.commands.upscale_jobs import find_jobs, format_name, is_video
from clit_plugin.utils.errors import UserError


@pytest.fixture
def album(tmp_path, monkeypatch):
    """album/ with a.png, b/c.jpg, d.avif, e.mp4 and notes, in the working folder."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "album" / "b").mkdir(parents=True)
    for name in ("a.png", "b/c.jpg"):
        Image.new("RGB", (4, 4)).save(f"album/{name}")
    for name in ("d.avif", "e.mp4", "notes", "notes.txt", ".hidden.gif"):
        (tmp_path / "album" / name).write_bytes(b"")
    return tmp_path / "album"


def jobs(*images, **options):
    defaults = {"output": "out", "format": None, "quality": None, "weights": "w.pth", "opt": None}
    arguments = {"images": images, "overwrite": False, "skip_existing": False} | defaults | options
    return [(str(source), str(output)) for source, output in find_jobs(argparse.Namespace(**arguments))]


def test_pictures_of_a_folder_that_are_not_searched_for_are_said(album, capsys):
    assert jobs("album") == [("album/a.png", "out/a.png"), ("album/b/c.jpg", "out/b/c.png")]
    assert "album: left out d.avif and 1 more; folders are searched for .png, .jpg" in capsys.readouterr().err


def test_a_pattern_with_a_suffix_of_its_own_asks_for_such_files(album):
    assert jobs("album/*.avif") == [("album/d.avif", "out/d.png")]
    assert jobs("album/*") == [("album/a.png", "out/a.png")]


def test_an_image_given_twice_is_one(album):
    assert jobs("album/a.png", "album/a.png", "album/b/c.jpg") == [
        ("album/a.png", "out/a.png"),
        ("album/b/c.jpg", "out/c.png"),
    ]


def test_outputs_that_are_skipped_are_counted(album, capsys):
    (album.parent / "out").mkdir()
    (album.parent / "out" / "a.png").write_bytes(b"")
    assert jobs("album", skip_existing=True) == [("album/b/c.jpg", "out/b/c.png")]
    assert "1 of 2 outputs exist already and are skipped" in capsys.readouterr().err


def test_a_pattern_of_videos_is_refused(album):
    with pytest.raises(UserError, match=r"^album/\*\.mp4: give one video at a time, by its name$"):
        is_video(["album/*.mp4"])


@pytest.mark.parametrize(("text", "name"), [("jpeg", "jpg"), ("TIF", "tiff"), (".png", "png"), ("gif", "gif")])
def test_formats_have_their_usual_spellings(text, name):
    assert format_name(text) == name
