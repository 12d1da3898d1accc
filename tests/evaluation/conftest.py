"""A folder with images and an option file, and a report of results on them."""

import pytest
from evaluation_helpers import CountedBicubic, bicubic_options
from train_helpers import write_images, write_yaml

from clit_plugin.commands.cli import main


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder to work in, with five images of 41 x 38 and the option file test.yml."""
    monkeypatch.chdir(tmp_path)
    write_yaml(tmp_path / "test.yml", bicubic_options(write_images(tmp_path / "hr", 5, (41, 38))))
    return tmp_path


@pytest.fixture
def counted(place, monkeypatch):
    """The network of counted.yml, which counts what it upscales."""
    monkeypatch.setattr(CountedBicubic, "upscaled", 0)
    write_yaml(place / "counted.yml", bicubic_options(place / "hr", "CountedBicubic"))
    return CountedBicubic


@pytest.fixture
def set5(place):
    """The folder of a report on bicubic interpolation on "Set5", five images, at x2 and x3."""
    content = bicubic_options(place / "hr")
    content["name"] = "bicubic"
    content["datasets"] = {
        f"test_{scale}": {**content["datasets"]["test"], "name": f"Set5_x{scale}", "scale": scale} for scale in (2, 3)
    }
    write_yaml(place / "set5.yml", content)
    assert main(["test", "-opt", "set5.yml"]) == 0
    assert main(["report", "results", "-o", "out"]) == 0
    return place / "out"
