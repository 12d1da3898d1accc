"""``clit doctor``, on a sound installation and on broken ones."""

import hashlib
import os

import pytest
import torch
from cli_process import clit

from clit_plugin.commands import doctor
from clit_plugin.commands.cli import main
from clit_plugin.inference import shipped


def test_a_sound_installation_passes_every_check(capsys):
    assert main(["doctor"]) == 0
    output = capsys.readouterr().out
    assert "WRONG" not in output and output.endswith("All is well.\n")
    for part in (
        "Python 3.",
        "torchvision",
        "for clit web: aiohttp",
        "basicsr 1.4.2",
        "GPU",
        "threads on",
        "lmdb",
        "CLIT (clit_plugin.archs.clit_arch)",
    ):
        assert part in output
    assert (
        "EDSR (clit_plugin.archs.encoders.edsr)" in output
        or "EDSR, EDSRBaseline (clit_plugin.archs.encoders.edsr)" in output
    )


BROKEN = {
    "torchvision": (
        "raise RuntimeError('operator torchvision::nms does not exist')",
        "does not work with torch",
        "pip install --force-reinstall torch torchvision",
    ),
    "torch": ("raise OSError('libcudart.so.13: cannot open')", "torch: does not import", "force-reinstall"),
    "cv2": ("raise ImportError('libGL.so.1: cannot open')", "opencv-python: does not import", "apt install libgl1"),
    "basicsr": ("raise ImportError('half installed')", "the plugin does not import", "scripts/setup.sh"),
    "lmdb": ("raise ImportError('no such symbol')", "lmdb: ", "setup.sh"),
}


@pytest.mark.parametrize(
    "package", [pytest.param(name, marks=pytest.mark.slow if name in ("cv2", "lmdb") else ()) for name in BROKEN]
)
def test_a_package_that_does_not_import_is_a_line_with_its_remedy(tmp_path, package):
    line, problem, remedy = BROKEN[package]
    (tmp_path / package).mkdir()
    (tmp_path / package / "__init__.py").write_text(line)
    result = clit("doctor", folder=tmp_path)
    assert result.returncode == 1, result.stdout + result.stderr
    assert "Traceback" not in result.stdout + result.stderr
    lines = result.stdout.splitlines()
    at = next(i for i, each in enumerate(lines) if each.startswith("WRONG") and problem in each)
    assert lines[at + 1].strip().startswith("remedy: ") and remedy in lines[at + 1]
    assert "; see the remedies above." in lines[-1]


@pytest.mark.parametrize("what", ["damaged", "missing"])
def test_damaged_weights_are_reported(tmp_path, monkeypatch, capsys, what):
    content = b"weights"
    (tmp_path / "SHA256SUMS").write_text(f"{hashlib.sha256(content).hexdigest()}  w.pth\n")
    if what == "damaged":
        (tmp_path / "w.pth").write_bytes(b"something else")
    monkeypatch.setattr(shipped, "FOLDER", tmp_path)
    monkeypatch.setattr(doctor, "CHECKS", [doctor.check_weights])
    assert main(["doctor"]) == 1
    assert f"w.pth: {what}" in capsys.readouterr().out
    (tmp_path / "w.pth").write_bytes(content)
    assert main(["doctor"]) == 0


def test_an_optional_package_may_be_absent_but_not_broken(tmp_path, monkeypatch):
    (tmp_path / "broken_one.py").write_text("raise OSError('no such library')")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(doctor, "_OPTIONAL", {"numbers": ["numpy"], "nothing": ["absent_one"], "films": ["broken_one"]})
    there, absent, broken = doctor.check_optional_packages()
    assert there.remedy is None and there.text.startswith("for numbers: numpy ")
    assert absent == ("for nothing: not installed, optional (pip install absent_one)", None)
    assert "broken_one does not import (OSError: no such library)" in broken.text
    assert broken.remedy == "pip install --upgrade broken_one"


def test_a_limit_of_threads_is_explained(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {0, 1})
    assert "1 threads on 2 cores (OMP_NUM_THREADS=1; unset it to use all)" in [*doctor.check_device()][-1].text


def test_a_python_that_basicsr_does_not_build_on_is_reported():
    (finding,) = doctor.check_python(((2, 6), (2, 7)))
    assert finding.remedy is not None and "2.6 to 2.7" in finding.remedy


def test_every_shipped_weights_file_has_its_sum():
    listed = {line.split()[1] for line in (shipped.FOLDER / "SHA256SUMS").read_text().splitlines()}
    assert listed == {file.name for file in shipped.FOLDER.glob("*.pth")}
    assert shipped.damaged_weights() == {}
