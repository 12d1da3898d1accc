"""A good folder to spoil."""

import shutil
from pathlib import Path

import pytest
from inference_helpers import write_weights
from spoiled import own
from train_helpers import stage_options, to_lmdb, write_images, write_yaml


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
