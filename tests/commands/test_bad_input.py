"""What users and strangers can get wrong: one line, exit status 2 or 1, nothing half-written, no traceback.

A row of a table is a kind of bad input: what changes a good folder, the command, and a part of what is said.
"""

import json
import os
import pickle
import shutil
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from inference_helpers import LIIF, write_weights
from PIL import Image
from train_helpers import stage_options, to_lmdb, write_images, write_yaml

from clit_plugin.commands import cli

Change = Callable[[], object]
NEEDS_DEEP_JSON = '{"format": 1, "images": ' + "[" * 100_000
TRAIN, UPSCALE = "train -opt own.yml", "upscale hr/0001.png -o out.png --scale 2 --weights"


@pytest.fixture(scope="module")
def good(tmp_path_factory) -> Path:
    """Images hr/ as a folder and an LMDB, weights clit.pth, and base.yml, whose paths are relative."""
    folder = tmp_path_factory.mktemp("good")
    write_images(folder / "hr", 3, (40, 44))
    to_lmdb(folder / "hr")
    write_weights(folder / "clit.pth")
    options = stage_options(Path("hr"), 1, name="run")
    options["datasets"]["val"]["dataroot_gt"] = str(write_images(folder / "val", 1, (40, 44)).name)
    write_yaml(folder / "base.yml", options)
    return folder


@pytest.fixture
def place(good, tmp_path, monkeypatch):
    """A copy to spoil and to work in."""
    folder = tmp_path / "place"
    shutil.copytree(good, folder)
    monkeypatch.chdir(folder)
    own("")
    return folder


def snapshot(folder: Path) -> dict[str, bytes | None]:
    """Everything in a folder, links, pipes and empty folders included."""
    return {str(path): path.read_bytes() if path.is_file() else None for path in sorted(folder.rglob("*"))}


def refusal(capsys, command: str, *, status: int = 2) -> str:
    """What a command says, which has to be one line; with status 2 everything is as it was."""
    before = snapshot(Path.cwd())
    try:
        got = cli.main(command.split(" "))
    except SystemExit as stop:  # argparse's
        got = stop.code
    said = capsys.readouterr()
    assert "Traceback" not in said.err and got == status, said.err
    usage, mark, error = said.err.partition(f"clit {command.split(' ')[0]}: error: ")
    assert mark or "clit: error: " in usage, said.err
    assert not usage or usage.startswith("usage: ") or status == 1, said.err
    assert error.count("\n") == (1 if mark else 0) and len(error) < 1500
    after = snapshot(Path.cwd())
    if status == 2:
        assert after == before and said.out == ""
    assert not [path for path in after if path.endswith((".partial", ".new"))]
    return error or usage


# ---------------------------------------------------------------------- ways to spoil


def own(text: str, base: str = "base.yml") -> None:
    """Write own.yml, which inherits the good options."""
    Path("own.yml").write_text((f"_base_: {base}\n" if base else "") + text, encoding="utf-8", errors="surrogatepass")


def yml(text: str, base: str = "base.yml") -> Change:
    return lambda: own(text, base)


def write(path: str, content: bytes | str) -> Change:
    return lambda: Path(path).write_bytes(content.encode() if isinstance(content, str) else content)


def replace(path: str, old: str, new: str) -> Change:
    return lambda: Path(path).write_text(Path(path).read_text().replace(old, new))


def cut(path: str, length: int) -> Change:
    return lambda: os.truncate(path, length)


def image(path: str, mode: str = "RGB", size: tuple[int, int] = (44, 40)) -> Change:
    return lambda: Image.new(mode, size).save(path)


def save(content: object, path: str = "bad.pth") -> Change:
    return lambda: torch.save(content, path)


def weights(change: Callable[[dict], object]) -> Change:
    """Good weights, changed."""

    def spoil() -> None:
        content = torch.load("clit.pth", weights_only=True)
        change(content)
        torch.save(content, "bad.pth")

    return spoil


def first(content: dict) -> str:
    return next(iter(content["params"]))


def png(width: int, height: int) -> bytes:
    """A PNG whose header promises more than it has."""
    head = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = b"IDAT" + zlib.compress(b"\0" * 100)
    chunks = [struct.pack(">I", len(part) - 4) + part + struct.pack(">I", zlib.crc32(part)) for part in (head, body)]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def nothing() -> None:
    pass


class Payload:
    """Would write a file if it were unpickled."""

    def __reduce__(self) -> tuple:
        return Path.touch, (Path("PAYLOAD"),)


BOMB = "a0: &a0 x\n" + "".join(f"a{i + 1}: &a{i + 1} [{', '.join([f'*a{i}'] * 10)}]\n" for i in range(9))
LONG = "x" * 300

YAML = {
    "no file": (nothing, "train -opt none.yml", "none.yml: no such option file"),
    "a folder": (lambda: Path("x.yml").mkdir(), "train -opt x.yml", "x.yml: no such option file"),
    "a pipe": (lambda: os.mkfifo("x.yml"), "train -opt x.yml", "x.yml: no such option file"),
    "a name of 300 characters": (nothing, f"train -opt {LONG}.yml", "ile name too long"),
    "another suffix": (nothing, "train -opt clit.pth", "option files end in .yml"),
    "bytes": (write("own.yml", b"\xff\xfe\x00a"), TRAIN, "own.yml: not plain YAML"),
    "empty": (yml("", base=""), TRAIN, "expected a mapping of options by their names"),
    "a list": (yml("- a\n", base=""), TRAIN, "expected a mapping"),
    "a bracket too few": (yml("a: [1\n"), TRAIN, "not plain YAML"),
    "a tab": (yml("a:\n\tb: 1\n"), TRAIN, "not plain YAML"),
    "a key twice": (yml("name: a\nname: b\n"), TRAIN, "key 'name' is given twice"),
    "code": (yml("name: !!python/object/apply:os.system ['touch PAYLOAD']\n"), TRAIN, "not plain YAML"),
    "an alias bomb": (yml(BOMB), TRAIN, "more than 20000 values, with aliases written out"),
    "an alias of itself": (yml("name: &a [*a]\n"), TRAIN, "an alias inside of what it stands for"),
    "deep": (yml(f"name: {'[' * 5000}\n"), TRAIN, "nested more than 50 levels deep"),
    "deep on the command line": (nothing, f"{TRAIN} --set name={'{a:' * 5000}", "nested more than 50 levels deep"),
    "NUL": (yml('path: {pretrain_network_g: "a\\0b"}\n'), TRAIN, "NUL in a text"),
    "half of a pair": (yml('name: "\\ud800"\n'), TRAIN, "half of a surrogate pair"),
    "no such day": (yml("name: 2001-02-31\n"), TRAIN, "a value that cannot be read"),
    "5000 digits": (yml(f"manual_seed: {'9' * 5000}\n"), TRAIN, "a value that cannot be read"),
    "no such base": (yml("", base="none.yml"), TRAIN, "none.yml: no such option file (inherited by own.yml)"),
    "its own base": (yml("", base="own.yml"), TRAIN, "inherits from itself"),
    "no such module": (
        yml("custom_imports: {imports: [no_such_module]}\n"),
        TRAIN,
        "no_such_module cannot be imported",
    ),
    "--set without a value": (nothing, f"{TRAIN} --set name", "--set name: expected KEY=VALUE"),
    "--set below a number": (nothing, f"{TRAIN} --set num_gpu.x=1", "cannot be merged with --set"),
}

VALUES = {
    "an unknown key": (yml("train: {total_iters: 5}\n"), TRAIN, "train.total_iters: unknown key"),
    "a section of text": (yml("train: hello\n"), TRAIN, "train: expected a mapping"),
    "no steps": (yml("train: {total_iter: 0}\n"), TRAIN, "train.total_iter: expected at least 1, got 0"),
    "a rate of text": (yml("train: {optim_g: {lr: fast}}\n"), TRAIN, "train.optim_g.lr: expected a number"),
    "a rate of nan": (yml("train: {optim_g: {lr: .nan}}\n"), TRAIN, "train.optim_g.lr: expected"),
    "a negative rate": (yml("train: {optim_g: {lr: -1}}\n"), TRAIN, "train.optim_g"),
    "an infinite scale": (yml("datasets: {val: {scale: .inf}}\n"), TRAIN, "datasets.val.scale: expected a number"),
    "a vast scale": (yml("datasets: {val: {scale: 1.0e+300}}\n"), TRAIN, "is smaller than"),
    "a range upside down": (yml("datasets: {train: {scale_ranges: [[[4, 1]]]}}\n"), TRAIN, "scale_ranges: expected"),
    "a range of nan": (yml("datasets: {train: {scale_ranges: [[[1, .nan]]]}}\n"), TRAIN, "scale_ranges: expected"),
    "a range of texts": (yml("datasets: {train: {scale_ranges: [[[a, b]]]}}\n"), TRAIN, "scale_ranges: expected"),
    "an unknown network": (yml("network_g: {type: NoNet}\n"), TRAIN, "network_g.type: expected one of"),
    "heads that do not divide": (yml("network_g: {num_heads: 3}\n"), TRAIN, "network_g"),
    "a negative width": (yml("network_g: {dim: -8}\n"), TRAIN, "network_g.dim"),
    "an unknown loss": (yml("train: {pixel_opt: {type: NoLoss}}\n"), TRAIN, "train.pixel_opt.type: expected one of"),
    "an unknown metric": (yml("val: {metrics: {m: {type: no_metric}}}\n"), TRAIN, "val.metrics.m.type: expected"),
    "two things": (yml("num_gpu: 99\nmanual_seed: 0\nval: {val_freq: 1}\n"), TRAIN, "num_gpu: expected 0 to"),
    "LR made and read": (
        yml("datasets: {val: {dataroot_lq: hr, degradation: pil}}\n"),
        TRAIN,
        "LR is read from",
    ),
    "weights that are not there": (yml("path: {pretrain_network_g: no.pth}\n"), TRAIN, "no.pth: no such weights file"),
    "a state that is none": (yml("path: {resume_state: clit.pth}\n"), TRAIN, "clit.pth: not a training state"),
}

NAMES = {
    "the run's, upwards": (yml("name: ../../x\n"), TRAIN, "name: expected the name of a folder"),
    "the run's, of two parts": (yml("name: x/y\n"), TRAIN, "leads to no other folder"),
    "the run's, too long": (yml(f"name: {LONG}\n"), TRAIN, "at most 180 bytes"),
    "the run's, with an escape": (yml('name: "a\\e[31m"\n'), TRAIN, "printable characters"),
    "the set's": (yml("datasets: {val: {name: ../../x}}\n"), TRAIN, "datasets.val.name: expected the name of a folder"),
    "the training set's": (yml("datasets: {train: {name: /x}}\n"), TRAIN, "datasets.train.name: expected"),
    "the ending": (yml("val: {suffix: ../x}\n"), TRAIN, "val.suffix: expected an ending"),
    "the LR files'": (
        yml("datasets: {val: {filename_tmpl: '../{}'}}\n"),
        TRAIN,
        "datasets.val.filename_tmpl: expected",
    ),
    "a field in the LR files'": (
        yml("datasets: {val: {filename_tmpl: '{}{0.__class__}', dataroot_lq: hr, degradation: null}}\n"),
        TRAIN,
        "no LR image named 0001{0.__class__}",
    ),
    "of weights": (nothing, "test --weights ../x=clit.pth --folder a=hr --scales 2", "expected FILE or NAME=FILE"),
    "of weights, too long": (nothing, f"test --weights {LONG}=clit.pth --folder a=hr --scales 2", "ile name too long"),
    "of a folder": (nothing, "test --weights clit.pth --folder ../x=hr --scales 2", "--folder: expected NAME=FOLDER"),
    "of a folder, too long": (nothing, f"test --weights clit.pth --folder {LONG}=hr --scales 2", "at most 180 bytes"),
    "of an output": (nothing, f"{UPSCALE} clit.pth -o {LONG}.png", "ile name too long"),
    "of an image": (nothing, f"upscale {LONG}.png -o out.png --scale 2 --weights clit.pth", "ile name too long"),
}

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

CHECKPOINTS = {
    "not there": (nothing, "bad.pth: no such weights file"),
    "a folder": (lambda: Path("bad.pth").mkdir(), "bad.pth: no such weights file"),
    "a pipe": (lambda: os.mkfifo("bad.pth"), "bad.pth: no such weights file"),
    "empty": (write("bad.pth", b""), "bad.pth: not a checkpoint that can be read safely"),
    "a text": (write("bad.pth", "hello"), "bad.pth: not a checkpoint that can be read safely"),
    "torn": (lambda: Path("bad.pth").write_bytes(Path("clit.pth").read_bytes()[:-500]), "not a checkpoint"),
    "code": (lambda: Path("bad.pth").write_bytes(pickle.dumps(Payload())), "holds more than tensors and plain values"),
    "code in torch's own file": (save({"params": Payload()}), "holds more than tensors and plain values"),
    "a list": (save([1, 2]), "expected a mapping"),
    "no weights": (save({"state": 1}), "holds no 'params' or 'params_ema'"),
    "numbers for weights": (weights(lambda c: c.update(params={"a": 1})), "there is something else as well"),
    "no network": (weights(lambda c: c.pop("network_g")), "holds no network_g"),
    "an unknown network": (weights(lambda c: c["network_g"].update(type="NoNet")), "expected one of"),
    "an option too many": (weights(lambda c: c["network_g"].update(colour="red")), "colour: unknown key"),
    "of another network": (weights(lambda c: c.update(network_g=LIIF)), "does not fit network_g"),
    "NaN": (weights(lambda c: c["params"][first(c)].fill_(torch.nan)), "weights that are not finite"),
    "another shape": (weights(lambda c: c["params"].update({first(c): torch.zeros(1)})), "of another shape"),
    "a key too few": (weights(lambda c: c["params"].pop(first(c))), "1 missing"),
    "without numbers": (
        weights(lambda c: c["params"].update({first(c): c["params"][first(c)].to("meta")})),
        "bad.pth: ",
    ),
}

PICTURES = {
    "not there": (nothing, "bad.png: no such image or folder"),
    "a pipe": (lambda: os.mkfifo("bad.png"), "bad.png: no such image or folder"),
    "empty": (write("bad.png", b""), "bad.png: not a readable image"),
    "a text": (write("bad.png", "hello"), "bad.png: not a readable image"),
    "a header alone": (write("bad.png", png(40, 40)[:40]), "bad.png: not a readable image"),
    "a header of 60000x60000": (write("bad.png", png(60000, 60000)), "claims 60000x60000 pixels, more than can"),
    "CMYK": (lambda: (image("x.jpg", "CMYK")(), os.replace("x.jpg", "bad.png")), "bad.png: holds CMYK colours"),
    "LAB": (lambda: (image("x.tif", "LAB")(), os.replace("x.tif", "bad.png")), "bad.png: holds LAB colours"),
    "floats": (lambda: (image("x.tif", "F")(), os.replace("x.tif", "bad.png")), "samples of float32 are not handled"),
    "no images": (lambda: Path("bad.png").mkdir(), "bad.png: no images in it or its subfolders"),
}

DRAW = "attention hr/0001.png -o out.png --weights clit.pth"
CROPS = "figure crops hr/0001.png -o out.png --scale 2"
COMMANDS = {
    "no such command": (nothing, "upscal", "invalid choice: 'upscal'"),
    "no size": (nothing, "upscale hr/0001.png -o out.png --weights clit.pth", "give one of --scale"),
    "two sizes": (nothing, f"{UPSCALE} clit.pth --width 200", "give one of --scale"),
    "a scale of a word": (nothing, f"{UPSCALE} clit.pth --scale two", "invalid float value: 'two'"),
    "a scale of nan": (nothing, f"{UPSCALE} clit.pth --scale nan", "at least 1 and less than 10000, got nan"),
    "an infinite scale": (nothing, f"{UPSCALE} clit.pth --scale inf", "at least 1 and less than 10000, got inf"),
    "a scale of less than 1": (nothing, f"{UPSCALE} clit.pth --scale 0.5", "at least 1 and less than 10000, got 0.5"),
    "more than memory": (nothing, f"{UPSCALE} clit.pth --scale 9999", "give a smaller scale or size"),
    "a tile of 3": (nothing, f"{UPSCALE} clit.pth --tile 3", "--tile: expected a multiple of 8"),
    "no queries": (nothing, f"{UPSCALE} clit.pth --max-queries 0", "--max-queries: expected at least 1"),
    "the device meta": (nothing, f"{UPSCALE} clit.pth --device meta", "--device meta: not usable here"),
    "a device that is none": (nothing, f"{UPSCALE} clit.pth --device toaster", "--device toaster: not usable here"),
    "a GPU too many": (nothing, f"{UPSCALE} clit.pth --device cuda:99", "--device cuda:99: not usable here"),
    "a format that is none": (nothing, f"{UPSCALE} clit.pth -o out.xyz", "out.xyz: unknown image format"),
    "an output that is there": (image("out.png"), f"{UPSCALE} clit.pth", "is there already; --overwrite replaces"),
    "the image as output": (nothing, f"{UPSCALE} clit.pth -o hr/0001.png --overwrite", "the image itself"),
    "the image as figure": (nothing, f"{CROPS} -o hr/0001.png --overwrite", "the image itself"),
    "the image as drawing": (nothing, f"{DRAW} --scale 2 --at 3,3 -o hr/0001.png --overwrite", "the image itself"),
    "a query outside": (nothing, f"{DRAW} --scale 2 --at 300,3", "--at 300,3: outside the image"),
    "a query that is none": (nothing, f"{DRAW} --scale 2 --at here", "--at here: expected X,Y"),
    "a drawing at inf": (nothing, f"{DRAW} --scale inf --at 3,3", "--scale: expected at least 1"),
    "a crop outside": (nothing, f"{CROPS} --crop 0,0,500x5", "--crop 0,0,500x5: not inside"),
    "a crop that is none": (nothing, f"{CROPS} --crop all", "--crop all: expected X,Y,WxH"),
    "a system without a file": (nothing, f"{CROPS} --system CLIT", "--system CLIT: expected NAME=FILE"),
    "nothing to test": (nothing, "test", "--weights: missing"),
    "a test at inf": (nothing, "test --weights clit.pth --folder a=hr --scales inf", "--scales: expected numbers"),
    "a test of nothing": (nothing, "test --weights clit.pth --folder a=none --scales 2", "none"),
    "a report of nothing": (nothing, "report none", "none: no such file or folder of results"),
    "a report of a picture": (nothing, "report hr/0001.png", "0001.png: not a result of 'clit test'"),
    "a report of deep JSON": (write("deep.json", NEEDS_DEEP_JSON), "report deep.json", "deep.json: not a result"),
    "a report of other JSON": (write("x.json", json.dumps([1, {}])), "report x.json", "x.json: not a result"),
    "an LMDB with another name": (nothing, "prepare hr -o hr2", "the output's name must end in .lmdb"),
    "a step wider than its image": (nothing, "prepare hr -o x.lmdb --sub-image 8 --step 9", "--step 9 is larger"),
    "a sub-image wider than images": (nothing, "prepare hr -o x.lmdb --sub-image 0", "expected a whole number above 0"),
    "an LMDB that is there": (nothing, "prepare hr -o hr.lmdb --keep-extension", "exists already"),
    "an LMDB with foreign files": (
        write("hr.lmdb/mine.txt", "mine"),
        "prepare hr -o hr.lmdb --keep-extension --overwrite",
        "not replaced, as it also holds mine.txt",
    ),
    "weights of ours to convert": (nothing, "convert clit.pth -o out.pth", "expected a checkpoint of the original"),
    "weights converted onto themselves": (nothing, "convert clit.pth -o clit.pth --overwrite", "the checkpoint itself"),
    "an option file that is not shipped": (nothing, "options show none.yml", "no such option file in the package"),
    "options for no photographs": (nothing, "options new --images none", "none: no such folder of images"),
}


def of(table: dict) -> pytest.MarkDecorator:
    return pytest.mark.parametrize(("change", "command", "told"), table.values(), ids=table.keys())


OPTIONS = {
    f"{kind}: {name}": row
    for kind, table in {"YAML": YAML, "value": VALUES, "name": NAMES}.items()
    for name, row in table.items()
}
OF_LMDB = f"{TRAIN} --set datasets.train.dataroot_gt=hr.lmdb"
ALL_DATA = DATA | {f"LMDB: {name}": (change, OF_LMDB, told) for name, (change, told) in LMDB.items()}
OF_PICTURE = "upscale bad.png -o out --scale 2 --weights clit.pth"


@of(OPTIONS)
def test_bad_options_are_refused_in_one_line(place, capsys, change, command, told):
    change()
    assert told in refusal(capsys, command)
    assert not Path("PAYLOAD").exists()


@of(ALL_DATA)
def test_bad_data_are_refused_in_one_line(place, capsys, change, command, told):
    change()
    assert told in refusal(capsys, command)


@of({name: (change, f"{UPSCALE} bad.pth", told) for name, (change, told) in CHECKPOINTS.items()})
def test_bad_weights_are_refused_in_one_line(place, capsys, change, command, told):
    change()
    assert told in refusal(capsys, command)
    assert not Path("PAYLOAD").exists()


@of({name: (change, OF_PICTURE, told) for name, (change, told) in PICTURES.items()})
def test_bad_pictures_are_refused_in_one_line(place, capsys, change, command, told):
    change()
    assert told in refusal(capsys, command)


@of(COMMANDS)
def test_bad_command_lines_are_refused_in_one_line(place, capsys, change, command, told):
    change()
    assert told in refusal(capsys, command)


def test_of_several_images_the_good_ones_are_written_and_the_bad_one_is_named(place, capsys):
    Path("hr/x.png").write_bytes(png(40, 40)[:50])
    error = refusal(capsys, "upscale hr -o out --scale 1.5 --weights clit.pth --quiet", status=1)
    assert "1 of 4 images failed, the first for: hr/x.png: not a readable image" in error
    assert sorted(os.listdir("out")) == ["0001.png", "0002.png", "0003.png"]


def test_an_image_that_cannot_be_prepared_is_named_and_what_is_done_waits(place, capsys):
    Path("hr/x.png").write_bytes(png(60000, 60000))
    assert cli.main(["prepare", "hr", "-o", "new.lmdb"]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "hr/x.png: claims 60000x60000 pixels" in error
    assert not Path("new.lmdb").exists() and Path("new.lmdb.partial").is_dir()


def test_an_image_that_is_damaged_behind_its_header_ends_a_training_in_one_line(place, capsys):
    for file in Path("hr").iterdir():
        file.write_bytes(file.read_bytes()[:100])
    assert "not a readable image" in refusal(capsys, f"{TRAIN} --quiet", status=1)


def test_the_tables_have_their_kinds():
    """At least 60, in all; so that none is lost when tables are edited."""
    assert sum(map(len, (YAML, VALUES, NAMES, DATA, LMDB, CHECKPOINTS, PICTURES, COMMANDS))) >= 150
