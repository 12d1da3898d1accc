"""``scripts/soak.sh`` passes, and its page says so."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_the_short_soak_passes_and_writes_its_report(tmp_path):
    command = ["bash", ROOT / "scripts/soak.sh", "--quick", "--batches", "60", "--out", tmp_path / "page.md"]
    environment = {**os.environ, "PYTHON": sys.executable, "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-2000:]
    page = (tmp_path / "page.md").read_text()
    assert page == done.stdout
    assert "1 of 1 kills were followed by a resume" in page
    assert page.count("**yes**") == 3
    assert "NO" not in page
    assert "ArithmeticError: no more of this" in page
    assert "torn state" in page
    assert os.listdir(tmp_path) == ["page.md"]
