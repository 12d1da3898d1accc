"""``clit figure``: the panels hold what their captions say."""

import numpy as np
import pytest
import torch
import yaml
from inference_helpers import CLIT, LIIF, write_weights
from PIL import Image

from clit_plugin.archs.build import build_network
from clit_plugin.commands.cli import main
from clit_plugin.commands.figure import parse_crop
from clit_plugin.figures.comparison_figure import Systems, crops_figure, text_figure
from clit_plugin.metrics.protocol import EvaluationProtocol
from clit_plugin.ops.bicubic import resize_bicubic
from clit_plugin.ops.crops import Crop, worst_crop
from clit_plugin.utils.errors import UserError
from clit_plugin.utils.panels import Panel, compose


@pytest.fixture
def image():
    return np.random.default_rng(0).integers(0, 256, (61, 83, 3), dtype=np.uint8)


@pytest.fixture
def captions(monkeypatch):
    """The panels of the figure that is made last, by caption."""
    from clit_plugin.figures import comparison_figure

    panels = {}

    def record(rows, footer):
        panels.clear()
        panels.update({panel.caption: panel for row in rows for panel in row}, footer=footer)
        return compose(rows, footer)

    monkeypatch.setattr(comparison_figure, "compose", record)
    return panels


def systems(**networks):
    return Systems(
        networks={name: build_network(options).eval() for name, options in networks.items()},
        degradation="pil",
        image_name="a.png",
    )


def test_panels_of_crops_are_the_systems_pixels_with_their_psnr(image, captions):
    both = systems(CLIT=CLIT)
    crop = Crop(11, 7, 20, 10)
    crops_figure(image, both, 2.5, [crop], EvaluationProtocol.named("div2k"))
    hr = image[:60, :82]  # LR is 24 x 33 pixels, 33 * 2.5 = 82.5, rounded to even
    lq = resize_bicubic(hr, (24, 33), "pil")
    np.testing.assert_array_equal(captions["HR, 11,7,20x10"].image, hr[7:17, 11:31])
    bicubic = resize_bicubic(lq, (60, 82), "pil").astype(np.float64)
    parts = [(9, 51, 9, 73), (7, 17, 11, 31)]  # shave 3 + 6; the crop
    psnr = [-10 * np.log10(np.mean(((bicubic - hr)[a:b, c:d] / 255) ** 2)) for a, b, c, d in parts]
    panel = captions[f"bicubic\n{psnr[0]:.2f} / {psnr[1]:.2f} dB"]
    np.testing.assert_array_equal(panel.image, bicubic[7:17, 11:31])
    made = both.networks["CLIT"].upscale(torch.from_numpy(lq.transpose(2, 0, 1) / np.float32(255))[None], (60, 82))
    expected = (made[0].clamp(0, 1) * 255).round().byte().permute(1, 2, 0).numpy()[7:17, 11:31]
    (clit,) = (panel for caption, panel in captions.items() if caption.startswith("CLIT"))
    np.testing.assert_array_equal(clit.image, expected)
    assert "div2k: RGB, shave scale + 6" in captions["footer"]


def test_hr_is_cropped_as_the_data_set_crops_it():
    square = np.zeros((100, 100, 3), np.uint8)
    with pytest.raises(UserError, match="not inside a.png, 97 pixels wide and 97 high"):  # LR is 29 x 29 pixels
        crops_figure(square, systems(), 3.3333334, [Crop(0, 0, 98, 97)], EvaluationProtocol.named("benchmark"))


def test_panels_of_text_have_the_size_of_their_scale(image, captions):
    text_figure(image, systems(LIIF=LIIF), 2.2, [1.6, 4.3], Crop(22, 11, 44, 33))
    # 61 x 83 reduced by 2.2 is 28 x 38; 44 of 83 columns of these and of round(38 * 1.6) and round(38 * 4.3)
    shapes = {caption: panel.image.shape[:2] for caption, panel in captions.items() if caption != "footer"}
    assert shapes == {
        "LR": (15, 20),
        "bicubic x1.6": (24, 32),
        "bicubic x4.3": (65, 86),
        "LIIF x1.6": (24, 32),
        "LIIF x4.3": (65, 86),
    }


@pytest.mark.parametrize(("y", "x"), [(0, 0), (52, 3), (12, 35)])
def test_the_crop_by_default_is_where_bicubic_fails_most(y, x):
    hr = torch.zeros(3, 100, 83)
    wrong = hr.clone()
    wrong[:, y : y + 48, x : x + 48] = 1
    assert worst_crop(hr, wrong) == Crop(x, y, 48, 48)


def test_a_small_image_is_its_own_crop():
    assert worst_crop(torch.zeros(3, 9, 9), torch.ones(3, 9, 9)) == Crop(0, 0, 9, 9)


def test_panels_are_magnified_by_repetition_and_not_cut():
    panel = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)
    page = compose([[Panel(panel, "a", zoom=3), Panel(panel, "a much longer caption")]], "footer")
    np.testing.assert_array_equal(page[8:14, 8:14], panel.repeat(3, 0).repeat(3, 1))
    assert (page[:8] == 255).all() and (page[:, -2:] == 255).all()


@pytest.mark.parametrize("text", ["1,2", "1,2,3", "1,2,3x", "-1,2,3x4", "1,2,0x4", "a,b,cxd"])
def test_a_crop_that_makes_no_sense_is_named(text):
    with pytest.raises(UserError, match=f"--crop {text}: expected"):
        parse_crop(text)


def command(*arguments):
    return main(["figure", *(str(argument) for argument in arguments)])


@pytest.fixture
def photo(image, tmp_path):
    Image.fromarray(image).save(tmp_path / "photo.png")
    return tmp_path / "photo.png"


def test_both_commands_write_a_picture(clit, photo, tmp_path):
    write_weights(tmp_path / "liif.pth", LIIF)
    given = ["--system", f"A={clit[1]}", "--system", f"B={tmp_path / 'liif.pth'}"]
    assert command("crops", photo, "-o", tmp_path / "crops.png", "--scale", 3.4, *given) == 0
    assert command("text", photo, "-o", tmp_path / "text.png", *given) == 0
    assert Image.open(tmp_path / "crops.png").width > 4 * 200
    assert Image.open(tmp_path / "text.png").width > 83 / 2.2 * (1 + 1.6 + 2.5 + 3.4 + 4.3)


def test_weights_without_options_take_those_of_an_option_file(photo, tmp_path):
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
        (["crops", "--scale", 2, "--system", "HR=x.pth"], "there is a panel named HR already"),
        (["crops", "--scale", 2, "--system", "A=x.pth"], "x.pth: no such weights file"),
        (["crops", "--scale", 2, "--system-opt", "A=x.yml"], "--system-opt A=x.yml: there is no --system A"),
        (["crops", "--scale", 2, "--protocol", "y"], "protocol: expected one of div2k, benchmark"),
        (["crops", "--scale", 90], "too small for scale 90"),
        (["crops", "--scale", 30], "too small for --scale 30, whose PSNR leaves out 30 pixels"),
        (["text", "--scales", 2, 0.5], "--scales: expected more than 1"),
        (["text", "--scales", 900], "GB left; give a smaller scale"),
        (["text", "--crop", "0,0,99x9"], "--crop 0,0,99x9: not inside photo.png"),
    ],
)
def test_bad_input_is_one_line(photo, tmp_path, capsys, monkeypatch, arguments, error):
    monkeypatch.chdir(tmp_path)
    (name, *rest) = arguments
    assert command(name, photo, "-o", tmp_path / "o.png", *rest) == 2
    told = capsys.readouterr().err
    assert told.count("\n") == 1 and error in told
    assert not (tmp_path / "o.png").exists()
