"""Figures that compare systems: the panels hold what their captions say."""

import numpy as np
import pytest
import torch
from inference_helpers import CLIT, LIIF

from clit_plugin.archs.build import build_network
from clit_plugin.data.realistic_degradation import Degradation
from clit_plugin.figures import comparison_figure
from clit_plugin.figures.comparison_figure import Systems, crops_figure, text_figure
from clit_plugin.metrics.protocol import EvaluationProtocol
from clit_plugin.ops.bicubic import resize_bicubic
from clit_plugin.ops.crops import Crop
from clit_plugin.utils.errors import UserError
from clit_plugin.utils.panels import compose


@pytest.fixture
def image():
    return np.random.default_rng(0).integers(0, 256, (61, 83, 3), dtype=np.uint8)


@pytest.fixture
def captions(monkeypatch):
    """The panels of the figure that is made last, by caption."""
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


def test_systems_are_compared_on_realistic_lr_too(image, captions):
    degradation = Degradation(sigma=(0.5, 0.5), gaussian=8.0, quality=70, seed=3)
    crops_figure(
        image,
        Systems(networks={}, degradation=degradation, image_name="a.png"),
        2,
        [Crop(0, 0, 82, 60)],
        EvaluationProtocol.named("benchmark"),
    )
    lq = degradation.reduce(image[:60, :82], (30, 41))
    (bicubic,) = (panel for caption, panel in captions.items() if caption.startswith("bicubic"))
    np.testing.assert_array_equal(bicubic.image, resize_bicubic(lq, (60, 82), "pil"))
    assert "LR by realistic degradation" in captions["footer"]


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
    with pytest.raises(UserError, match="not inside a.png, which is 97x97"):  # LR is 29 x 29 pixels
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
