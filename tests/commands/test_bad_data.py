"""Images and LMDBs that are wrong: one line, and nothing half-written."""

import os
import shutil
from pathlib import Path

from spoiled import TRAIN, cut, image, of, own, png, refusal, replace, write
from train_helpers import write_images

from clit_plugin.commands import cli

DATA = {
    "no folder": (lambda: shutil.rmtree("hr"), TRAIN, "hr: no such folder of images"),
    "a file": (lambda: (shutil.rmtree("hr"), Path("hr").touch()), TRAIN, "hr: no such folder of images"),
    "no image": (lambda: (shutil.rmtree("hr"), Path("hr").mkdir()), TRAIN, "no images in it or its subfolders"),
    "a pipe": (lambda: os.mkfifo("hr/x.png"), TRAIN, "hr/x.png: is a pipe or a device"),
    "a link to nowhere": (lambda: Path("hr/x.png").symlink_to("none"), TRAIN, "hr/x.png: cannot be read"),
    "a link to itself": (lambda: Path("hr/x.png").symlink_to("x.png"), TRAIN, "hr/x.png: cannot be read"),
    "an empty image": (write("hr/x.png", b""), TRAIN, "hr/x.png: not a readable image"),
    "a text": (write("hr/x.png", "hello"), TRAIN, "hr/x.png: not a readable image"),
    "a header of 60000x60000": (write("hr/x.png", png(60000, 60000)), TRAIN, "claims 60000x60000 pixels"),
    "CMYK": (image("hr/x.jpg", "CMYK"), TRAIN, "hr/x.jpg: holds CMYK colours"),
    "LAB": (image("hr/x.tif", "LAB"), TRAIN, "hr/x.tif: holds LAB colours"),
    "alpha": (image("hr/x.png", "RGBA"), TRAIN, "hr/x.png: expected an 8-bit RGB image, got RGBA"),
    "16 bits": (image("hr/x.png", "I;16"), TRAIN, "hr/x.png: expected an 8-bit RGB image, got I;16"),
    "floats": (image("hr/x.tif", "F"), TRAIN, "hr/x.tif: expected an 8-bit RGB image, got F"),
    "one key twice": (image("hr/0001.bmp"), TRAIN, "0001.bmp and 0001.png would both get the key '0001'"),
    "too small": (image("hr/x.png", size=(7, 7)), TRAIN, "x.png"),
    "no LR image": (
        lambda: (
            (own("datasets: {val: {dataroot_lq: lr, degradation: null}}\n"), write_images(Path("lr"), 0, (8, 8)))
            and image("lr/x.png")()
        ),
        TRAIN,
        "no LR image named 0001 in lr",
    ),
    "an LR image of another size": (
        lambda: (own("datasets: {val: {dataroot_lq: lr, degradation: null}}\n"), write_images(Path("lr"), 3, (9, 9))),
        TRAIN,
        "0001.png: 9x9 does not fit its HR image, 44x40, at x2.5",
    ),
}

LMDB = {
    "cut off": (cut("hr.lmdb/data.mdb", 8192), "data.mdb: truncated"),
    "cut off by a byte": (
        lambda: os.truncate("hr.lmdb/data.mdb", os.path.getsize("hr.lmdb/data.mdb") - 1),
        "data.mdb: truncated",
    ),
    "empty": (cut("hr.lmdb/data.mdb", 0), "data.mdb: not a data file of LMDB"),
    "another file": (lambda: shutil.copy("clit.pth", "hr.lmdb/data.mdb"), "data.mdb: not a data file of LMDB"),
    "no data": (lambda: os.remove("hr.lmdb/data.mdb"), "not an LMDB of images, data.mdb is missing"),
    "no list": (lambda: os.remove("hr.lmdb/meta_info.txt"), "not an LMDB of images, meta_info.txt is missing"),
    "an empty list": (cut("hr.lmdb/meta_info.txt", 0), "meta_info.txt: lists no images"),
    "a list that is none": (write("hr.lmdb/meta_info.txt", "hello\n"), "line 1: expected 'key.png (height,width,3)"),
    "a list of bytes": (write("hr.lmdb/meta_info.txt", b"\0\xff.png (4,4,3) 1\n"), "line 1: expected 'key.png"),
    "a list of another": (replace("hr.lmdb/meta_info.txt", "0003.png", "0009.png"), "that data.mdb does not hold"),
    "a list of absurd sizes": (
        replace("hr.lmdb/meta_info.txt", "(40,44,3)", "(400000,44000,3)"),
        "data.mdb holds 44x40",
    ),
    "a key twice": (replace("hr.lmdb/meta_info.txt", "0003.png", "0001.png"), "is listed twice"),
    "grey": (replace("hr.lmdb/meta_info.txt", ",3)", ",1)"), "has 1 channel(s), expected 3"),
    "unfinished": (lambda: os.replace("hr.lmdb", "hr.lmdb.partial.x"), "no such LMDB folder"),
}


OF_LMDB = f"{TRAIN} --set datasets.train.dataroot_gt=hr.lmdb"
ALL_DATA = DATA | {f"LMDB: {name}": (change, OF_LMDB, message) for name, (change, message) in LMDB.items()}


@of(ALL_DATA)
def test_bad_data_are_refused_in_one_line(place, capsys, change, command, message):
    change()
    assert message in refusal(capsys, command)


def test_of_several_images_the_good_ones_are_written_and_the_bad_one_is_named(place, capsys):
    Path("hr/x.png").write_bytes(png(40, 40)[:50])
    error = refusal(capsys, "upscale hr -o out --scale 1.5 --weights clit.pth --quiet", status=1)
    assert "1 of 4 images failed, the first: hr/x.png: not a readable image" in error
    assert sorted(os.listdir("out")) == ["0001.png", "0002.png", "0003.png"]


def test_an_image_that_cannot_be_prepared_is_named_and_finished_ones_are_kept(place, capsys):
    Path("hr/x.png").write_bytes(png(60000, 60000))
    assert cli.main(["prepare", "hr", "-o", "new.lmdb"]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "hr/x.png: claims 60000x60000 pixels" in error
    assert not Path("new.lmdb").exists() and Path("new.lmdb.partial").is_dir()


def test_an_image_damaged_after_its_header_ends_a_training_in_one_line(place, capsys):
    for file in Path("hr").iterdir():
        file.write_bytes(file.read_bytes()[:100])
    assert "not a readable image" in refusal(capsys, f"{TRAIN} --quiet", status=1)
