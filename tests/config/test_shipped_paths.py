"""What the preparation scripts write is what the shipped options read."""

import shutil
import subprocess
from pathlib import Path

import pytest
from train_helpers import write_images, write_lr

from clit_plugin.config.option_checks import load_option_file

ROOT = Path(__file__).parents[2]


@pytest.fixture
def prepared(tmp_path, commands) -> Path:
    """A folder in which both scripts have run on tiny images under their usual names."""
    shutil.copytree(ROOT / "scripts", tmp_path / "scripts")
    (tmp_path / ".venv").mkdir()
    (tmp_path / ".venv" / "bin").symlink_to(commands)
    root = tmp_path / "prepared"
    div2k = root / "datasets" / "DIV2K"
    write_images(div2k / "DIV2K_train_HR", 1, (48, 48))
    hr = write_images(div2k / "DIV2K_valid_HR", 1, (48, 48))
    for scale in (2, 3, 4):
        write_lr(hr, div2k / "DIV2K_valid_LR_bicubic" / f"X{scale}", scale)
    for name in ("Set5", "Set14", "B100", "Urban100"):
        shutil.copytree(hr, root / "datasets" / name / "HR")
    for script, folder in (("prepare_div2k.sh", div2k), ("prepare_benchmarks.sh", root / "datasets")):
        subprocess.run(["bash", tmp_path / "scripts" / script, folder], check=True, capture_output=True, timeout=200)
    return root


def test_every_path_of_a_shipped_file_is_one_that_the_scripts_make(prepared):
    missing = set()
    for file in ("train/edsr_stage1.yml", "train/edsr_stage3.yml", "test/edsr.yml"):
        options = load_option_file(ROOT / "options" / file, is_train=file.startswith("train")).options
        for dataset in options.datasets.by_key.values():
            paths = {dataset.dataroot_gt, dataset.dataroot_lq} - {None}
            missing |= {(file, path) for path in paths if not (prepared / path / "data.mdb").is_file()}
    assert missing == set()
