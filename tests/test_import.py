"""What importing the package does: BasicSR's registries and repairs, in a fresh process."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from cli_process import ROOT, clit


def python(code: str, *path: Path) -> subprocess.CompletedProcess:
    """Run Python code in a process of its own, with folders before all others on its path."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(map(str, [*path, ROOT]))}
    return subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=120, check=False
    )


REGISTRIES = """
import json
import clit_plugin
import basicsr.train
from basicsr.utils import registry
names = {"ARCH": [], "DATASET": [], "MODEL": [], "METRIC": []}
for name in names:
    names[name] = sorted(getattr(registry, name + "_REGISTRY").keys())
print(json.dumps({"pipeline": basicsr.train.train_pipeline.__name__, **names}))
"""


@pytest.fixture(scope="module")
def imported() -> dict:
    """What BasicSR knows in a process that has done no more than import the package."""
    result = python(REGISTRIES)
    assert result.returncode == 0, result.stderr
    assert result.stderr == ""
    return json.loads(result.stdout.splitlines()[-1])


def test_importing_the_package_makes_basicsr_train_importable(imported):
    assert imported["pipeline"] == "train_pipeline"


@pytest.mark.parametrize(
    ("registry", "name"),
    [
        ("ARCH", "CLIT"),
        ("DATASET", "ArbitraryScalePairedDataset"),
        ("MODEL", "CumulativeScaleModel"),
        ("METRIC", "psnr_float"),
        ("METRIC", "ssim_float"),
    ],
)
def test_importing_the_package_fills_basicsrs_registries(imported, registry, name):
    assert name in imported[registry]


def test_basicsrs_own_components_stay_registered(imported):
    assert {"EDSR", "RRDBNet"} <= set(imported["ARCH"])
    assert "SRModel" in imported["MODEL"]
    assert "calculate_psnr" in imported["METRIC"]


SPAWNING = """
import multiprocessing
import sys
from clit_plugin.commands.cli import main

def registered(queue):
    from basicsr.utils.registry import ARCH_REGISTRY
    queue.put("CLIT" in ARCH_REGISTRY)

if __name__ == "__main__":
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    process = context.Process(target=registered, args=(queue,))
    process.start()
    print(queue.get(timeout=100))
    print("torch" in sys.modules)
"""


def test_processes_that_the_command_spawns_have_full_registries(tmp_path):
    (tmp_path / "clit").write_text(SPAWNING)
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, tmp_path / "clit"]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert result.stdout.split() == ["True", "False"], result.stderr


@pytest.fixture(scope="module")
def mismatched(tmp_path_factory) -> subprocess.CompletedProcess:
    """The command where torchvision is of another build than torch."""
    folder = tmp_path_factory.mktemp("mismatched")
    (folder / "torchvision").mkdir()
    error = 'raise RuntimeError("operator torchvision::nms does not exist")\n'
    (folder / "torchvision" / "__init__.py").write_text(error)
    return clit("train", "-opt", "a.yml", folder=folder)


def test_a_torchvision_of_another_build_fails_with_what_to_reinstall(mismatched):
    assert mismatched.returncode != 0
    last = mismatched.stderr.splitlines()[-1]
    assert f"torchvision does not import with torch {torch.__version__}" in last
    assert "(operator torchvision::nms does not exist)" in last
    assert last.endswith("Reinstall the two together: pip install --force-reinstall torch torchvision")


def test_a_torchvision_of_another_build_is_one_line_and_status_2(mismatched):
    assert mismatched.returncode == 2
    assert len(mismatched.stderr.splitlines()) == 1
