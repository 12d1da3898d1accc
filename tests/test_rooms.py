"""The rooms import downwards only, by the contract in pyproject.toml."""

import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def lint(folder: Path) -> subprocess.CompletedProcess:
    """The contract, checked in a copy of the package."""
    code = "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports(cache_dir=None))"
    return subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True)


def test_the_contract_is_kept_and_breaks_with_an_import_upwards(tmp_path):
    shutil.copytree(
        ROOT / "clit_plugin", tmp_path / "clit_plugin", ignore=shutil.ignore_patterns("*.pth", "__pycache__")
    )
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    kept = lint(tmp_path)
    assert kept.returncode == 0, kept.stdout + kept.stderr
    with (tmp_path / "clit_plugin" / "ops" / "crops.py").open("a") as module:
        module.write("from clit_plugin.fast import axis  # noqa\n")
    broken = lint(tmp_path)
    assert broken.returncode == 1
    assert "clit_plugin.ops.crops -> clit_plugin.fast.axis" in broken.stdout
