"""``clit figure``: arguments, files and errors."""

import numpy as np
import pytest
import torch
import yaml
from dataset_helpers import val_set
from inference_helpers import LIIF, write_weights
from PIL import Image

from clit_plugin.archs.build import build_network
from clit_plugin.commands.cli import main
from clit_plugin.commands.figure import parse_crop
from clit_plugin.data.realistic_degradation import make_lr
from clit_plugin.figures import comparison_figure
from clit_plugin.ops.pixels import to_samples
from clit_plugin.utils.errors import UserError


@pytest.mark.parametrize("text", ["1,2", "1,2,3", "1,2,3x", "-1,2,3x4", "1,2,0x4", "a,b,cxd"])
def test_an_invalid_crop_is_named(text):
    with pytest.raises(UserError, match=f"--crop {text}: expected"):
        parse_crop(text)


def command(*arguments):
    return main(["figure", *(str(argument) for argument in arguments)])


@pytest.fixture
def photo(tmp_path):
    image = np.random.default_rng(0).integers(0, 256, (61, 83, 3), dtype=np.uint8)
    Image.fromarray(image).save(tmp_path / "photo.png")
    return tmp_path / "photo.png"


def test_crops_and_text_figures_are_written_as_png(clit, photo, tmp_path):
    write_weights(tmp_path / "liif.pth", LIIF)
    given = ["--system", f"A={clit[1]}", "--system", f"B={tmp_path / 'liif.pth'}"]
    assert command("crops", photo, "-o", tmp_path / "crops.png", "--scale", 3.4, *given) == 0
    assert command("text", photo, "-o", tmp_path / "text.png", *given) == 0
    assert Image.open(tmp_path / "crops.png").width > 4 * 200
    assert Image.open(tmp_path / "text.png").width > 83 / 2.2 * (1 + 1.6 + 2.5 + 3.4 + 4.3)


def test_realistic_lr_is_that_of_a_validation_set_with_the_image(photo, tmp_path, monkeypatch):
    made = []

    def record(*arguments):
        made.append(make_lr(*arguments))
        return made[-1]

    monkeypatch.setattr(comparison_figure, "make_lr", record)
    lq = val_set(tmp_path, scale=2, degradation={"type": "realistic"})[0]["lq"]
    assert command("crops", photo, "-o", tmp_path / "o.png", "--scale", 2, "--degradation", "realistic") == 0
    np.testing.assert_array_equal(made[0], to_samples(lq))


def test_weights_without_stored_options_need_an_option_file(photo, tmp_path):
    torch.save({"params": build_network(LIIF).state_dict()}, tmp_path / "bare.pth")
    (tmp_path / "liif.yml").write_text(yaml.safe_dump({"network_g": LIIF}))
    given = ["crops", photo, "-o", tmp_path / "o.png", "--scale", 2, "--system", f"A={tmp_path / 'bare.pth'}"]
    assert command(*given) == 2
    assert command(*given, "--system-opt", f"A={tmp_path / 'liif.yml'}") == 0


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["crops", "--scale", 1], "--scale: expected more than 1"),
        (["crops", "--scale", 2, "--crop", "70,0,20x9"], "--crop 70,0,20x9: not inside photo.png"),
        (["crops", "--scale", 2, "--system", "A"], "--system A: expected NAME=FILE"),
        (["crops", "--scale", 2, "--system", "HR=x.pth"], "a panel named HR exists already"),
        (["crops", "--scale", 2, "--system", "A=x.pth"], "x.pth: no such weights file"),
        (["crops", "--scale", 2, "--system-opt", "A=x.yml"], "--system-opt A=x.yml: there is no --system A"),
        (["crops", "--scale", 2, "--protocol", "y"], "protocol: expected one of div2k, benchmark"),
        (["crops", "--scale", 90], "too small for scale 90"),
        (["crops", "--scale", 30], "too small for --scale 30, whose PSNR excludes 30 pixels"),
        (["text", "--scales", 2, 0.5], "--scales: expected more than 1"),
        (["text", "--scales", 900], "GB free; use a smaller scale"),
        (["text", "--crop", "0,0,99x9"], "--crop 0,0,99x9: not inside photo.png"),
    ],
)
def test_bad_arguments_of_figure_are_refused_in_one_line(photo, tmp_path, capsys, monkeypatch, arguments, error):
    monkeypatch.chdir(tmp_path)
    (name, *rest) = arguments
    assert command(name, photo, "-o", tmp_path / "o.png", *rest) == 2
    errors = capsys.readouterr().err
    assert errors.count("\n") == 1 and error in errors
    assert not (tmp_path / "o.png").exists()
