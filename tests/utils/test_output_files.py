"""Outputs that cannot be written, or would overwrite an input."""

import errno
import os
import shutil
from collections import namedtuple
from pathlib import Path

import pytest
from inference_helpers import write_weights
from train_helpers import stage_options, write_images, write_yaml

from clit_plugin.commands import cli
from clit_plugin.utils import output_files
from clit_plugin.utils.errors import UserError
from clit_plugin.utils.output_files import check_replaces_none, check_writable

Usage = namedtuple("Usage", "total used free")


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A working directory with weights and two images of 40 x 44 in hr/."""
    monkeypatch.chdir(tmp_path)
    write_images(tmp_path / "hr", 2, (40, 44))
    write_weights(tmp_path / "clit.pth")
    return tmp_path


def snapshot(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def refusal(capsys, folder: Path, *arguments: str) -> str:
    """The one-line error of a command that is refused and changes nothing."""
    before = snapshot(folder)
    assert cli.main(arguments) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and snapshot(folder) == before
    return error


COMMANDS = {
    "upscale": ["hr/0001.png", "-o", "out/a.png", "--weights", "clit.pth", "--scale", "2"],
    "figure": ["crops", "hr/0001.png", "-o", "out/a.png", "--scale", "2", "--system", "C=clit.pth"],
    "attention": ["hr/0001.png", "-o", "out/a.png", "--scale", "2", "--weights", "clit.pth", "--at", "5,5"],
    "report": ["results", "-o", "out"],
    "train": ["-opt", "train.yml"],
    "test": ["--weights", "clit.pth", "--folder", "mine=hr", "--scales", "2"],
}


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("way", ["full", "read-only", "file"])
def test_a_command_refuses_an_unwritable_output_before_its_work(place, capsys, monkeypatch, command, way):
    if command == "train":
        write_yaml(place / "train.yml", stage_options(place / "hr", 1, name="tiny"))
    if way == "full":
        monkeypatch.setattr(output_files.shutil, "disk_usage", lambda folder: Usage(2**30, 2**30 - 100, 100))
        message = "cannot be written (no space left on the disk: it needs "
    elif way == "read-only":

        def refuse(dir):
            raise OSError(errno.EROFS, "Read-only file system", str(dir))

        monkeypatch.setattr(output_files.tempfile, "TemporaryFile", refuse)
        message = "cannot be written (the file system is read-only)"
    else:
        for name in ("out", "experiments", "results"):
            (place / name).write_text("a file")
        message = " is a file, not a folder)"
    assert message in refusal(capsys, place, command, *COMMANDS[command])


def test_a_training_is_refused_where_a_checkpoint_would_not_fit_on_the_disk(place, capsys, monkeypatch):
    options = stage_options(place / "hr", 1, name="tiny")
    options["network_g"]["encoder"] = {"type": "EDSRBaseline"}  # 1.2 million parameters, four copies of four bytes
    monkeypatch.setattr(output_files.shutil, "disk_usage", lambda folder: Usage(2**30, 2**30 - 19 * 10**6, 19 * 10**6))
    error = refusal(capsys, place, "train", "-opt", write_yaml(place / "train.yml", options))
    assert "net_g_latest.pth: cannot be written (no space left on the disk: it needs 19.7 MB or more" in error


def test_a_folder_without_permission_is_reported(tmp_path, monkeypatch):
    def refuse(dir):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(output_files.tempfile, "TemporaryFile", refuse)
    with pytest.raises(UserError, match=r"a\.png: cannot be written \(no permission\)"):
        check_writable(tmp_path / "a.png")


def test_check_writable_leaves_no_file_or_folder(tmp_path):
    check_writable(tmp_path / "not" / "there" / "a.png")
    assert list(tmp_path.iterdir()) == []


# ---------------------------------------------------------------------- inputs


@pytest.mark.parametrize("link", [None, "symbolic", "hard"])
@pytest.mark.parametrize("command", ["figure", "attention"])
def test_a_figure_does_not_replace_its_image(place, capsys, command, link):
    output = Path("hr/0001.png")
    if link == "symbolic":
        output = Path("link.png")
        output.symlink_to("hr/0001.png")
    elif link == "hard":
        output = Path("link.png")
        os.link("hr/0001.png", output)
    arguments = [str(output) if argument == "out/a.png" else argument for argument in COMMANDS[command]]
    error = refusal(capsys, place, command, *arguments, "--overwrite")
    assert f"{output}: would overwrite hr/0001.png, the image itself; give another -o" in error


def test_an_output_that_would_overwrite_a_later_input_is_refused(place, capsys):
    """p/sub/x.png would go to q/sub/x.png, which is read after it."""
    for folder in ("p/sub", "q/sub"):
        Path(folder).mkdir(parents=True)
    shutil.copy("hr/0001.png", "p/sub/x.png")
    shutil.copy("hr/0002.png", "q/sub/x.png")
    arguments = ["p", "q/sub", "-o", "q", "--weights", "clit.pth", "--scale", "2", "--overwrite"]
    assert "q/sub/x.png: would overwrite q/sub/x.png, the image itself" in refusal(capsys, place, "upscale", *arguments)


def test_a_conversion_does_not_replace_its_checkpoint(place, capsys):
    error = refusal(capsys, place, "convert", "clit.pth", "-o", "./clit.pth", "--overwrite")
    assert "clit.pth: would overwrite clit.pth, the checkpoint itself" in error


def test_outputs_that_are_not_inputs_are_accepted_even_if_inputs_are_missing(tmp_path):
    (tmp_path / "a.png").touch()
    inputs = [("image", tmp_path / "none.png"), ("option file", None), ("image", tmp_path / "b.png")]
    check_replaces_none([tmp_path / "a.png", tmp_path / "c.png"], inputs)
