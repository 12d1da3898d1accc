"""``clit export`` to .safetensors, and the other commands on what it wrote."""

import hashlib
import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from inference_helpers import CLIT, write_weights
from PIL import Image
from safetensors import safe_open
from train_helpers import stage_options, write_images, write_yaml

from clit_plugin.commands.cli import main
from clit_plugin.inference.load_network import load_network

ABOUT = {"name": "mine", "scale_range": [1.0, 16.0], "degradation": "pil", "licence": "CC0-1.0", "steps": 60}


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder to work in, with clit.pth that says what it is for."""
    monkeypatch.chdir(tmp_path)
    write_weights(tmp_path / "clit.pth", about=ABOUT, iter=70)
    return tmp_path


def header_of(path):
    with safe_open(path, framework="pt") as file:
        return file.metadata()


def refused(capsys, *arguments):
    """The one line with which an export is refused; nothing is written."""
    before = sorted(os.listdir())
    assert main(["export", *arguments]) == 2
    said = capsys.readouterr().err
    assert said.startswith("clit export: error: ") and said.count("\n") == 1
    assert sorted(os.listdir()) == before
    return said


def test_an_exported_file_loads_with_equal_bits(place, capsys):
    assert main(["export", "clit.pth", "-o", "a.safetensors"]) == 0
    assert "a.safetensors: " in capsys.readouterr().err
    before, after = (load_network(name).state_dict() for name in ("clit.pth", "a.safetensors"))
    assert list(before) == list(after)
    assert all(torch.equal(value, after[name]) and value.dtype == after[name].dtype for name, value in before.items())


def test_half_is_half_the_size_and_read_as_float32(place):
    assert main(["export", "clit.pth", "-o", "a.safetensors"]) == main(
        ["export", "clit.pth", "-o", "h.safetensors", "--half"]
    )
    whole, half = (load_network(name).state_dict() for name in ("a.safetensors", "h.safetensors"))
    assert all(torch.equal(half[name], value.half().float()) for name, value in whole.items())
    with safe_open("h.safetensors", framework="pt") as file:
        assert file.get_tensor("conv_feat.weight").dtype == torch.float16


def test_the_header_describes_the_weights_and_holds_the_hash_of_the_tensors(place):
    assert main(["export", "clit.pth", "-o", "a.safetensors", "--author", "Ada", "--scales", "1-4.5"]) == 0
    header = header_of("a.safetensors")
    spec = {key.removeprefix("modelspec."): value for key, value in header.items() if key.startswith("modelspec.")}
    assert spec["sai_model_spec"] == "1.0.1" and spec["architecture"] == "CLIT" and spec["implementation"]
    assert (spec["title"], spec["license"], spec["author"]) == ("mine", "CC0-1.0", "Ada")
    assert json.loads(header["network_g"]) == CLIT
    assert json.loads(header["scale_range"]) == [1.0, 4.5] and json.loads(header["degradation"]) == "pil"
    assert json.loads(header["normalisation"])["mean"] == [0.5, 0.5, 0.5]
    assert header["param_key"] == "params" and header["iter"] == "70"
    content = open("a.safetensors", "rb").read()
    rest = content[8 + int.from_bytes(content[:8], "little") :]
    assert spec["hash_sha256"] == f"0x{hashlib.sha256(rest).hexdigest()}"


def test_averaged_weights_are_preferred_and_reported(place):
    average = {name: torch.full_like(value, 0.25) for name, value in write_weights("clit.pth").state_dict().items()}
    write_weights("ema.pth", params_ema=average)
    assert main(["export", "ema.pth", "-o", "a.safetensors"]) == 0
    assert header_of("a.safetensors")["param_key"] == "params_ema"
    assert all((value == 0.25).all() for value in load_network("a.safetensors").state_dict().values())
    assert main(["export", "ema.pth", "-o", "b.safetensors", "--param-key", "params"]) == 0
    assert not (load_network("b.safetensors").state_dict()["conv_feat.weight"] == 0.25).all()


def test_the_metadata_of_a_file_are_kept_when_it_is_exported_again(place):
    first = ["clit.pth", "-o", "a.safetensors", "--author", "Ada", "--description", "of birds"]
    assert main(["export", *first]) == main(["export", "a.safetensors", "-o", "b.safetensors"]) == 0
    first, second = header_of("a.safetensors"), header_of("b.safetensors")
    changing = ("modelspec.date",)
    assert {k: v for k, v in first.items() if k not in changing} == {
        k: v for k, v in second.items() if k not in changing
    }


def test_a_file_without_metadata_is_exported_with_a_hint(place, capsys):
    write_weights("bare.pth")
    assert main(["export", "bare.pth", "-o", "a.safetensors", "--scales", "1-4"]) == 0
    assert "--degradation, --license" in capsys.readouterr().err
    assert "modelspec.license" not in header_of("a.safetensors")
    assert header_of("a.safetensors")["modelspec.title"] == "a"


def test_stored_results_are_exported_as_figures(place):
    write_images(place / "hr", 1, (40, 44))
    sets = ["--folder", "mine=hr", "--scales", "2"]
    assert main(["test", "--weights", "clit.pth", *sets]) == 0
    assert main(["export", "clit.pth", "-o", "a.safetensors", "--figures", "results/clit"]) == 0
    (figure,) = json.loads(header_of("a.safetensors")["figures"])
    assert figure["set"] == "mine_x2" and figure["scale"] == [2.0, 2.0] and 5 < figure["metrics"]["psnr"] < 60
    assert figure["protocol"]["name"] == "benchmark"


def test_other_commands_accept_the_exported_file_without_options(place):
    (image,) = write_images(place / "hr", 1, (40, 44)).iterdir()
    assert main(["export", "clit.pth", "-o", "clit.safetensors"]) == 0
    commands = {
        "upscaled": ["upscale", "--scale", "3", "--weights"],
        "maps": ["attention", "--scale", "3", "--at", "9,8", "--weights"],
        "figure": ["figure", "crops", "--scale", "2", "--crop", "9,8,16x16", "--system"],
    }
    for name, (command, *arguments) in commands.items():
        pictures = []
        for suffix in ("pth", "safetensors"):
            output = f"{name}_{suffix}.png"
            weights = f"clit.{suffix}" if command != "figure" else f"A=clit.{suffix}"
            assert main([command, *arguments, weights, "-o", output, str(image)]) == 0
            pictures.append(np.asarray(Image.open(output)))
        assert np.array_equal(*pictures)
    assert main(["test", "--weights", "clit.safetensors", "--folder", "mine=hr", "--scales", "2"]) == 0
    assert list(place.glob("results/clit/metrics/mine_x2-*.json"))


def test_a_training_starts_from_the_file(place):
    write_images(place / "hr", 2, (40, 44))
    options = stage_options(place / "hr", 2, name="run", total_iter=1)
    options["network_g"] = CLIT
    options["path"] = {"pretrain_network_g": "a.safetensors"}
    options["train"]["optim_g"]["lr"] = 1e-12  # so that what comes out is what went in
    write_yaml(place / "x.yml", options)
    assert main(["export", "clit.pth", "-o", "a.safetensors"]) == 0
    assert main(["train", "-opt", "x.yml"]) == 0
    (trained,) = place.glob("**/models/net_g_latest.pth")
    before, after = (load_network(str(name)).state_dict() for name in ("clit.pth", trained))
    assert all(torch.allclose(after[name], value, atol=1e-6) for name, value in before.items())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["clit.pth", "-o", "a.pt"], "ends in .safetensors or .onnx"),
        (["clit.pth", "-o", "folder.safetensors"], "is a folder"),
        (["clit.pth", "-o", "clit.pth"], "ends in .safetensors or .onnx"),
        (["there.safetensors", "-o", "there.safetensors"], "--overwrite replaces it"),
        (["clit.pth", "-o", "there.safetensors"], "--overwrite replaces it"),
        (["there.safetensors", "-o", "there.safetensors", "--overwrite"], "the weights file itself"),
        (["nothing.pth", "-o", "a.safetensors"], "no such weights file"),
        (["clit.pth", "-o", "a.safetensors", "--scales", "4"], "--scales: expected MIN-MAX"),
        (["clit.pth", "-o", "a.safetensors", "--scales", "4-2"], "1 <= least <= most"),
        (["clit.pth", "-o", "a.safetensors", "--factor", "0"], "--factor: expected 1 to 64"),
        (["clit.pth", "-o", "a.safetensors", "--figures", "nowhere"], "no such file or folder of results"),
        (["clit.pth", "-o", "a.safetensors", "--param-key", "params_ema"], "holds no 'params_ema'"),
        (["clit.pth", "-o", "a.onnx", "--half"], "--half: for .safetensors only"),
        (["odd.pth", "-o", "a.safetensors"], "about.licence: expected str"),
        (["range.pth", "-o", "a.safetensors"], "about.scale_range: expected two numbers"),
        (["large.pth", "-o", "a.safetensors", "--half"], "--half: conv_feat.bias has values outside float16's range"),
    ],
)
def test_bad_arguments_of_export_are_refused_in_one_line_and_write_nothing(place, capsys, arguments, message):
    (place / "folder.safetensors").mkdir()
    net = write_weights("odd.pth", about={"licence": 3})
    write_weights("range.pth", about={"scale_range": [0, "x"]})
    net.conv_feat.bias.data[0] = 1e5
    torch.save({"params": net.state_dict(), "network_g": CLIT}, "large.pth")
    main(["export", "clit.pth", "-o", "there.safetensors"])
    capsys.readouterr()
    assert message in refused(capsys, *arguments)


def test_a_full_disk_leaves_no_new_file_and_keeps_the_old_one(place, capsys, monkeypatch):
    assert main(["export", "clit.pth", "-o", "a.safetensors"]) == 0
    before = Path("a.safetensors").read_bytes()
    capsys.readouterr()

    def full(path, content):
        path.touch()
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    assert main(["export", "clit.pth", "-o", "a.safetensors", "--overwrite"]) == 2
    assert "a.safetensors: cannot be written (no space left on the disk)" in capsys.readouterr().err
    assert Path("a.safetensors").read_bytes() == before and sorted(os.listdir()) == ["a.safetensors", "clit.pth"]
