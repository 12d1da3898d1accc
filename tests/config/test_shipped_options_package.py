"""The shipped option files are found in a checkout, in a wheel and in a source distribution."""

import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from clit_plugin.config.shipped_options import FOLDER, locate, shipped

ROOT = Path(__file__).parents[2]


def test_a_checkout_has_them_beside_the_package():
    assert FOLDER == ROOT / "options"
    assert "train/edsr_stage1.yml" in shipped()
    assert locate("clit://_base_/stage1.yml", None) == ROOT / "options" / "_base_" / "stage1.yml"


@pytest.fixture(scope="module")
def source(tmp_path_factory) -> Path:
    """A copy of the files that a build reads."""
    folder = tmp_path_factory.mktemp("source")
    files = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False).stdout.split(
        "\n"
    )
    if not any(files):
        pytest.skip("not a git checkout")
    for name in files:
        if name.startswith(("clit_plugin/", "options/", "setup.py", "pyproject.toml", "README.md")):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes((ROOT / name).read_bytes())
    return folder


def build(source: Path, what: str, output: Path) -> Path:
    """Call setuptools as pip does; the file it has made."""
    code = f"import sys; from setuptools import build_meta; build_meta.{what}(sys.argv[1])"
    subprocess.run([sys.executable, "-c", code, str(output)], cwd=source, check=True, capture_output=True, timeout=300)
    return next(output.iterdir())


def test_a_wheel_has_them_and_finds_them_from_anywhere(source, tmp_path):
    wheel = build(source, "build_wheel", tmp_path / "wheel")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "site")
    code = "from clit_plugin.config.yaml_files import read_options; print(read_options('clit://train/edsr_stage1.yml')['name'])"
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "site")}
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
    )
    assert run.stdout == "edsr_stage1\n"
    files = {
        file.relative_to(tmp_path / "site/clit_plugin/option_files").as_posix()
        for file in tmp_path.rglob("*.yml")
        if "option_files" in file.parts
    }
    assert files == set(shipped())


def test_a_source_distribution_has_them(source, tmp_path):
    with tarfile.open(build(source, "build_sdist", tmp_path / "sdist")) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {f"options/{name}" for name in shipped()} <= names
