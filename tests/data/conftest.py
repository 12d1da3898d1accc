"""What the tests of the data sets share."""

import pytest
from dataset_helpers import write_images
from PIL import Image


@pytest.fixture
def hr(tmp_path):
    """Five images that hold a crop of 8 pixels at x4."""
    return write_images(tmp_path / "hr", (32, 41), (35, 32), (33, 33), (40, 32), (37, 38))


@pytest.fixture
def pairs(hr, tmp_path):
    """HR and LR folders; the LR files, at x2.5 or so, are named as DIV2K's."""
    for file in hr.iterdir():
        image = Image.open(file)
        (tmp_path / "lr").mkdir(exist_ok=True)
        size = (round(image.width / 2.5), round(image.height / 2.5))
        image.resize(size, Image.Resampling.BICUBIC).save(tmp_path / "lr" / f"{file.stem}x2.png")
    return hr, tmp_path / "lr"
