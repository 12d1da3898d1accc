"""The shipped option files are found in a checkout, in a wheel and in a source distribution."""

import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
from PIL import Image

from clit_plugin.config.shipped_options import FOLDER, locate, shipped

ROOT = Path(__file__).parents[2]


def test_a_checkout_has_the_shipped_options_beside_the_package():
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


@pytest.fixture(scope="module")
def site(source, tmp_path_factory) -> Path:
    """Where a wheel of the project is installed, far from the checkout."""
    folder = tmp_path_factory.mktemp("installed")
    with zipfile.ZipFile(build(source, "build_wheel", folder / "wheel")) as archive:
        archive.extractall(folder / "site")
    return folder / "site"


def run_installed(site: Path, *arguments: str, folder: Path) -> str:
    """Run Python with the wheel's package; what it prints on stdout."""
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=folder, env={**os.environ, "PYTHONPATH": str(site)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_wheel_contains_the_shipped_options_and_finds_them_from_anywhere(site, tmp_path):
    code = "from clit_plugin.config.yaml_files import read_options; print(read_options('clit://train/edsr_stage1.yml')['name'])"
    assert run_installed(site, "-c", code, folder=tmp_path) == "edsr_stage1\n"
    folder = site / "clit_plugin/option_files"
    assert {file.relative_to(folder).as_posix() for file in folder.rglob("*.yml")} == set(shipped())


def test_a_wheel_contains_all_data_files_of_the_package(source, site):
    data = {file.relative_to(source) for file in (source / "clit_plugin").rglob("*") if file.suffix not in ("", ".py")}
    documents = {file for file in data if file.suffix == ".md" and file.parent.name != "weights"}
    pictures_of_documents = {Path("clit_plugin/web/page.jpg")}
    assert {file for file in data - documents - pictures_of_documents if not (site / file).is_file()} == set()


def test_a_wheel_upscales_with_the_weights_that_it_brings(site, tmp_path):
    Image.new("RGB", (9, 7), (200, 30, 60)).save(tmp_path / "small.png")
    run_installed(site, *"-m clit_plugin upscale small.png -o large.png --scale 2.5".split(), folder=tmp_path)
    with Image.open(tmp_path / "large.png") as large:
        assert large.size == (22, 18)


def test_a_source_distribution_contains_the_shipped_options(source, tmp_path):
    with tarfile.open(build(source, "build_sdist", tmp_path / "sdist")) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {f"options/{name}" for name in shipped()} <= names
