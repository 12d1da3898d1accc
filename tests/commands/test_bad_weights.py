"""Weights files and pictures that are wrong: one line, status 2, nothing executed."""

import os
import pickle
from pathlib import Path

import torch
from inference_helpers import LIIF
from spoiled import (
    UPSCALE,
    Payload,
    first,
    image,
    nothing,
    of,
    png,
    refusal,
    save,
    weights,
    write,
)

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
    "numbers for weights": (weights(lambda c: c.update(params={"a": 1})), "found something else as well"),
    "no network": (weights(lambda c: c.pop("network_g")), "holds no network_g"),
    "an unknown network": (weights(lambda c: c["network_g"].update(type="NoNet")), "is not registered"),
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
    "floats": (lambda: (image("x.tif", "F")(), os.replace("x.tif", "bad.png")), "samples of float32 are not supported"),
    "no images": (lambda: Path("bad.png").mkdir(), "bad.png: no images in it or its subfolders"),
}


OF_PICTURE = "upscale bad.png -o out --scale 2 --weights clit.pth"


@of({name: (change, f"{UPSCALE} bad.pth", message) for name, (change, message) in CHECKPOINTS.items()})
def test_bad_weights_are_refused_in_one_line(place, capsys, change, command, message):
    change()
    assert message in refusal(capsys, command)
    assert not Path("PAYLOAD").exists()


@of({name: (change, OF_PICTURE, message) for name, (change, message) in PICTURES.items()})
def test_bad_pictures_are_refused_in_one_line(place, capsys, change, command, message):
    change()
    assert message in refusal(capsys, command)
