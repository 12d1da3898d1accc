"""What all tests share."""

import os
import sys
import types
from collections.abc import Iterator
from pathlib import Path

import command_server
import official_checkpoints
import pytest
import torch
from inference_helpers import write_weights

import clit_plugin  # noqa: F401, makes basicsr importable


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder with golden outputs and images: CLIT_SHARED, or ``shared`` beside the repository."""
    folder = Path(os.environ.get("CLIT_SHARED", Path(__file__).parents[2] / "shared"))
    if not folder.is_dir():
        pytest.skip(f"no folder {folder} with golden outputs (set CLIT_SHARED)")
    return folder


@pytest.fixture(scope="session")
def commands(tmp_path_factory) -> Iterator[Path]:
    """A folder with ``clit`` and ``python``, in processes of their own that start at once; see ``command_server``."""
    with command_server.serving(tmp_path_factory.mktemp("commands"), Path(__file__).parents[1]) as folder:
        yield folder


@pytest.fixture
def clit(tmp_path):
    """(a small CLIT, its weights file)"""
    path = tmp_path / "clit.pth"
    return write_weights(path), path


@pytest.fixture
def stub_command(monkeypatch):
    """Put a module in the place of ``clit train``'s, or another command's, whose ``run`` does what is given."""

    def replace(run, name="train"):
        module = types.ModuleType(f"clit_plugin.commands.{name}")
        module.DESCRIPTION = "stub"
        module.add_arguments = lambda parser: parser.add_argument("--number", type=int, default=0)
        module.run = run
        monkeypatch.setitem(sys.modules, module.__name__, module)

    return replace


@pytest.fixture
def paths(tmp_path):
    """A folder for images, and the LMDB to make of it."""
    return tmp_path / "images", tmp_path / "out.lmdb"


@pytest.fixture
def official_clit() -> dict:
    """Content of a tiny checkpoint of the original CLIT."""
    return official_checkpoints.official_clit()


@pytest.fixture
def official_lte(tmp_path) -> Path:
    """A file with a tiny checkpoint of the original LTE."""
    path = tmp_path / "official.pth"
    torch.save(official_checkpoints.official_lte(), path)
    return path
