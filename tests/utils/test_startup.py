"""Checks and settings before torch is imported."""

import os
import subprocess
import sys

import pytest
from cli_process import ROOT

from clit_plugin.utils import startup


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, {"GOMP_SPINCOUNT": "10000"}),
        ({"GOMP_SPINCOUNT": "7"}, {"GOMP_SPINCOUNT": "7"}),
        ({"OMP_WAIT_POLICY": "active"}, {"OMP_WAIT_POLICY": "active"}),
    ],
)
def test_the_spin_count_is_bounded_unless_the_user_has_chosen(monkeypatch, given, expected):
    names = ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")
    for name in names:
        monkeypatch.delenv(name, raising=False)
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    startup.bound_spinning()
    assert {name: os.environ[name] for name in names if name in os.environ} == expected
    monkeypatch.delenv("GOMP_SPINCOUNT", raising=False)


def test_the_spin_count_is_bounded_before_torch_is_imported(tmp_path):
    (tmp_path / "torch.py").write_text("import os, sys\nsys.exit(os.environ.get('GOMP_SPINCOUNT'))\n")
    environment = {key: value for key, value in os.environ.items() if key not in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")}
    environment["PYTHONPATH"] = os.pathsep.join(map(str, [tmp_path, ROOT]))
    command = [sys.executable, "-c", "import clit_plugin"]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert result.stderr == "10000\n"
