"""What all tests share."""

import os
from pathlib import Path

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


@pytest.fixture
def clit(tmp_path):
    """(a small CLIT, its weights file)"""
    path = tmp_path / "clit.pth"
    return write_weights(path), path
