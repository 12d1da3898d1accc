"""What can be wrong with ``clit upscale``'s input: one line, nothing half-written."""

import errno
import os
import shutil
import tempfile
from pathlib import Path

import pytest
from spoiled import UPSCALE, image, nothing, of, png, refusal, write

GIVEN = f"{UPSCALE} clit.pth"
BAD = "upscale bad.png -o out.png --scale 2 --weights clit.pth"
FOLDER = "-o out --scale 2 --weights clit.pth"

TABLE = {
    "not there": (nothing, BAD, "bad.png: no such image or folder"),
    "not an image": (write("bad.png", "hello"), BAD, "bad.png: not a readable image"),
    "zero bytes": (write("bad.png", b""), BAD, "bad.png: not a readable image"),
    "truncated in its header": (write("bad.png", png(40, 40)[:40]), BAD, "bad.png: not a readable image"),
    "truncated in the middle": (
        lambda: Path("bad.png").write_bytes(Path("hr/0001.png").read_bytes()[:900]),
        BAD,
        "bad.png: not a readable image",
    ),
    "a header of 60000x60000": (write("bad.png", png(60000, 60000)), BAD, "claims 60000x60000 pixels, more than can"),
    "CMYK": (lambda: (image("x.jpg", "CMYK")(), os.replace("x.jpg", "bad.png")), BAD, "bad.png: holds CMYK colours"),
    "an unknown suffix": (nothing, f"{GIVEN} -o out.xyz", "out.xyz: unknown image format"),
    "scale 0": (nothing, f"{GIVEN} --scale 0", "at least 1 and less than 10000, got 0"),
    "a negative scale": (nothing, f"{GIVEN} --scale=-2", "at least 1 and less than 10000, got -2"),
    "a scale of NaN": (nothing, f"{GIVEN} --scale nan", "at least 1 and less than 10000, got nan"),
    "a size over the limit": (nothing, f"{GIVEN} --scale 9999", "use a smaller scale or size"),
    "a side over the format's limit": (
        nothing,
        "upscale hr/0001.png -o out.webp --scale 400 --weights clit.pth",
        "exceeds the 16383 pixels per side of .webp",
    ),
    "a size of nothing": (
        nothing,
        "upscale hr/0001.png -o out.png --weights clit.pth --size 0x9",
        "--size 0x9: expected WIDTHxHEIGHT",
    ),
    "a misspelt name of weights": (
        nothing,
        f"{UPSCALE} clit_smal",
        "clit_smal: no such weights file; the package has clit_small and clit_small_photo",
    ),
    "missing weights": (nothing, f"{UPSCALE} none.pth", "none.pth: no such weights file"),
    "foreign weights": (write("bad.pth", "hello"), f"{UPSCALE} bad.pth", "bad.pth: not a checkpoint"),
    "a device that is absent": (nothing, f"{GIVEN} --device cuda:99", "--device cuda:99: not available"),
    "too little memory": (nothing, f"{GIVEN} --max-memory 10M", "raise --max-memory"),
    "memory of another unit": (nothing, f"{GIVEN} --max-memory 4T", "--max-memory: expected gigabytes"),
    "memory of a word": (nothing, f"{GIVEN} --max-memory some", "--max-memory: expected gigabytes"),
    "no memory": (nothing, f"{GIVEN} --max-memory 0", "--max-memory: expected gigabytes"),
    "no quality": (nothing, f"{GIVEN} --quality 0", "--quality: expected 1 to 100"),
    "a quality of PNG": (nothing, f"{GIVEN} --quality 90", "--quality: for .jpg and .webp files only"),
    "another format than OUT's": (nothing, f"{GIVEN} --format jpg", "--format jpg: out.png has another suffix"),
    "a folder as one image": (nothing, f"upscale hr {FOLDER} -o out.png", "is an image file, but several images"),
    "the input as output": (nothing, f"upscale hr {FOLDER} -o ./hr", "hr: is the folder of the images itself"),
    "the output inside the input": (nothing, f"upscale hr {FOLDER} -o hr/up", "is inside hr"),
    "a pattern of nothing": (nothing, f"upscale hr/*.gif {FOLDER}", "no image matches"),
    "a folder below a file": (write("sub", "x"), f"upscale hr {FOLDER} -o sub/up", "sub is a file, not a folder"),
    "an output that is there": (image("out.png"), GIVEN, "already exists; --overwrite replaces"),
    "the image as output": (nothing, f"{GIVEN} -o hr/0001.png --overwrite", "the image itself"),
    "transparency in JPEG": (image("bad.png", "RGBA"), f"{BAD} -o out.jpg", "cannot hold the transparency of"),
}


@of(TABLE)
def test_bad_input_of_upscale_is_refused_in_one_line(place, capsys, change, command, message):
    change()
    assert message in refusal(capsys, command)


def _fail(number):
    def fail(*arguments, **options):
        raise OSError(number, os.strerror(number))

    return fail


@pytest.mark.parametrize(
    ("module", "name", "instead", "message"),
    [
        (shutil, "disk_usage", lambda path: type("Usage", (), {"free": 1000}), "no space left on the disk"),
        (os, "fsync", _fail(errno.ENOSPC), "cannot be written (no space left on the disk)"),  # when all is computed
        (os, "replace", _fail(errno.EROFS), "cannot be written (the file system is read-only)"),
        (tempfile, "TemporaryFile", _fail(errno.EACCES), "cannot be written (no permission)"),
    ],
    ids=["full before", "full at the end", "read-only", "no permission"],
)
def test_a_full_disk_is_one_line_and_leaves_no_file(place, capsys, monkeypatch, module, name, instead, message):
    with monkeypatch.context() as patched:
        patched.setattr(module, name, instead)
        error = refusal(capsys, GIVEN)
    assert "out.png: cannot be written" in error and message in error
