"""The example that upscales with onnxruntime and numpy alone."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from clit_plugin.commands.cli import main
from clit_plugin.inference.load_network import load_network

pytest.importorskip("onnx", reason="needs clit_plugin[onnx]")
pytest.importorskip("onnxruntime", reason="needs clit_plugin[onnx]")
pytest.importorskip("onnxscript", reason="needs clit_plugin[onnx]")

ROOT = Path(__file__).parents[2]
SHIPPED = ROOT / "clit_plugin" / "weights" / "clit_small.pth"
# Runs the example where torch and this package cannot be imported.
ALONE = """
import runpy, sys
sys.modules.update(dict.fromkeys(("torch", "clit_plugin", "basicsr", "PIL", "cv2", "onnx")))
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


@pytest.fixture(scope="module")
def graphs(tmp_path_factory):
    """Encoder and decoder of the shipped weights."""
    folder = tmp_path_factory.mktemp("graphs")
    assert main(["export", str(SHIPPED), "-o", str(folder / "net.onnx")]) == 0
    return [str(folder / f"net_{part}.onnx") for part in ("encoder", "decoder")]


@pytest.mark.parametrize("scale", [3, 6.37])
def test_the_shipped_weights_give_the_networks_picture_without_torch(tmp_path, monkeypatch, graphs, scale):
    monkeypatch.chdir(tmp_path)
    image = np.random.default_rng(0).integers(0, 256, (13, 17, 3), dtype=np.uint8).repeat(3, 0).repeat(3, 1)
    np.save("in.npy", image)
    script = str(ROOT / "scripts/upscale_onnx.py")
    subprocess.run([sys.executable, "-c", ALONE, script, *graphs, "in.npy", "out.npy", str(scale)], check=True)
    size = (round(39 * scale), round(51 * scale))
    lq = torch.from_numpy(image).permute(2, 0, 1)[None] / 255
    expected = load_network(str(SHIPPED)).upscale(lq, size)[0].permute(1, 2, 0).clamp(0, 1) * 255
    got = np.load("out.npy")
    assert got.shape == (*size, 3) and got.dtype == np.uint8 and got.std() > 20
    assert np.abs(got - expected.numpy()).max() < 0.5 + 255 * 1e-4
