"""The scripts that prepare DIV2K and the benchmarks, in a repository whose ``clit`` is a stand-in."""

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from lmdb_helpers import read_image, write_image

from clit_plugin.data.lmdb_files.reader import read_meta_info

SCRIPTS = Path(__file__).parents[2] / "scripts"


@pytest.fixture
def repository(tmp_path):
    """Copies of the scripts; ``clit`` notes its arguments, and fails on folders that hold a file named fail."""
    root = tmp_path / "repository"
    shutil.copytree(SCRIPTS, root / "scripts")
    clit = root / ".venv" / "bin" / "clit"
    clit.parent.mkdir(parents=True)
    clit.write_text(
        '#!/bin/sh\necho "clit $*"\nfor last; do :; done\n[ ! -e "$last/fail" ] || exit "$(cat "$last/fail")"\n'
    )
    clit.chmod(0o755)
    return root


def run_script(repository, name, *arguments):
    command = ["bash", str(repository / "scripts" / name), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, cwd=repository.parent)


def commands(result):
    return [line for line in result.stdout.splitlines() if line.startswith("clit ")]


def test_present_benchmarks_are_prepared_and_missing_ones_skipped(repository, tmp_path):
    (tmp_path / "my data" / "Set5" / "HR").mkdir(parents=True)
    (tmp_path / "my data" / "Urban100" / "LR_bicubic" / "X4").mkdir(parents=True)
    result = run_script(repository, "prepare_benchmarks.sh", "my data/")
    assert result.returncode == 0
    assert commands(result) == [
        "clit prepare --convert -o my data/Set5_HR.lmdb -- my data/Set5/HR",
        "clit prepare --convert -o my data/Urban100_LR_bicubic_X4.lmdb -- my data/Urban100/LR_bicubic/X4",
    ]
    assert "skipped: my data/Set14/HR does not exist" in result.stdout


def test_a_benchmark_that_fails_is_named_after_the_others_are_done(repository, tmp_path):
    for name in ("Set5", "B100"):
        (tmp_path / name / "HR").mkdir(parents=True)
    (tmp_path / "Set5" / "HR" / "fail").write_text("2")
    result = run_script(repository, "prepare_benchmarks.sh", tmp_path)
    assert result.returncode == 1
    assert len(commands(result)) == 2
    assert result.stderr == "prepare_benchmarks.sh: error: failed: Set5/HR\n"


@pytest.mark.parametrize("script", ["prepare_benchmarks.sh", "prepare_div2k.sh"])
def test_an_interruption_stops_the_whole_script(repository, tmp_path, script):
    for name in ("Set5/HR", "B100/HR", "DIV2K_train_HR", "DIV2K_valid_HR"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "fail").write_text("130")
    result = run_script(repository, script, tmp_path)
    assert result.returncode == 130
    assert len(commands(result)) == 1


@pytest.mark.parametrize(
    ("script", "tree"), [("prepare_benchmarks.sh", "Set5/\n"), ("prepare_div2k.sh", "DIV2K_train_HR/0001.png")]
)
def test_nothing_to_prepare_prints_the_expected_folders(repository, tmp_path, script, tree):
    result = run_script(repository, script, tmp_path / "nowhere")
    assert result.returncode == 2
    assert f"{script}: error: no " in result.stderr
    assert tree in result.stderr


def test_div2k_is_found_in_the_repository_and_prepared_completely(repository):
    data = repository / "datasets" / "DIV2K"
    for name in ("DIV2K_train_HR", "DIV2K_valid_LR_bicubic/X3"):
        (data / name).mkdir(parents=True)
    result = run_script(repository, "prepare_div2k.sh")
    assert result.returncode == 0
    assert commands(result) == [
        f"clit prepare -o {data}/DIV2K_train_HR.lmdb -- {data}/DIV2K_train_HR",
        f"clit prepare -o {data}/DIV2K_valid_LR_bicubic_X3.lmdb -- {data}/DIV2K_valid_LR_bicubic/X3",
    ]


def test_div2k_sub_images_are_made_of_the_training_hr_only(repository, tmp_path):
    for name in ("DIV2K_train_HR", "DIV2K_valid_HR"):
        (tmp_path / name).mkdir()
    result = run_script(repository, "prepare_div2k.sh", "--sub-images", ".")
    assert commands(result) == [
        "clit prepare --sub-image 480 --step 240 -o ./DIV2K_train_HR_sub.lmdb -- ./DIV2K_train_HR",
        "clit prepare -o ./DIV2K_valid_HR.lmdb -- ./DIV2K_valid_HR",
    ]


def test_a_missing_environment_is_set_up_first(repository, tmp_path):
    clit = repository / ".venv" / "bin" / "clit"
    clit.rename(tmp_path / "clit")
    (repository / "scripts" / "setup.sh").write_text(f'echo set up\nmv "{tmp_path}/clit" "{clit}"\n')
    for name in ("Set5", "Set14"):
        (tmp_path / name / "HR").mkdir(parents=True)
    result = run_script(repository, "prepare_benchmarks.sh", tmp_path)
    assert result.stdout.count("set up") == 1
    assert len(commands(result)) == 2


def test_a_tiny_benchmark_becomes_an_lmdb(repository, tmp_path):
    clit = repository / ".venv" / "bin" / "clit"
    clit.write_text(f'#!/bin/sh\nshift\ncd "{SCRIPTS.parent}" && exec "{sys.executable}" -m clit_plugin prepare "$@"\n')
    image = write_image(tmp_path / "Set14" / "HR" / "bridge.png", shape=(9, 7))
    assert run_script(repository, "prepare_benchmarks.sh", tmp_path).returncode == 0
    assert read_meta_info(tmp_path / "Set14_HR.lmdb") == {"bridge": (9, 7)}
    np.testing.assert_array_equal(read_image(tmp_path / "Set14_HR.lmdb", "bridge")[..., 0], image)
