"""The weights in clit_plugin/weights: they load without options, are small, and better than bicubic interpolation."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import clit_plugin
from clit_plugin.inference.load_network import load_network
from clit_plugin.inference.shipped import weights_path
from clit_plugin.metrics.float_metrics import psnr_float
from clit_plugin.metrics.protocol import EvaluationProtocol
from clit_plugin.ops.bicubic import resize_bicubic
from clit_plugin.utils.errors import UserError

FOLDER = Path(clit_plugin.__file__).parent / "weights"
FILES = sorted(FOLDER.glob("*.pth"))


def tensor(image: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(image.astype(np.float32) / 255).permute(2, 0, 1)[None]


def test_the_package_contains_weights():
    assert "clit_small" in [file.stem for file in FILES]


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_shipped_file_is_small_described_and_on_the_card(file):
    content = torch.load(file, map_location="cpu", weights_only=True)
    assert file.stat().st_size <= 4_000_000
    assert content["about"]["name"] == file.stem
    assert content["about"]["scale_range"][1] >= 4
    assert all(value.isfinite().all() for value in content["params"].values())
    assert f"## {file.stem}" in (FOLDER / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(("scale", "gain"), [(2, 3.4), (4, 2.5), (6, 1.5)])
def test_clit_small_gains_over_bicubic_on_two_images_of_set5(shared, scale, gain):
    net = load_network(str(FOLDER / "clit_small.pth"))
    options = EvaluationProtocol.named("benchmark").metric_options(scale)
    gains = []
    for name in ("butterfly", "woman"):
        image = np.asarray(Image.open(shared / "data/benchmarks/Set5/HR" / f"{name}.png").convert("RGB"))
        h, w = image.shape[0] // scale, image.shape[1] // scale
        gt = image[: h * scale, : w * scale]
        lq = resize_bicubic(gt, (h, w), "pil")
        bicubic = tensor(resize_bicubic(lq, gt.shape[:2], "pil"))
        gains.append(psnr_float(net.upscale(tensor(lq), gt.shape[:2]), tensor(gt), **options))
        gains[-1] -= psnr_float(bicubic, tensor(gt), **options)
    assert sum(gains) / 2 > gain


def test_the_name_of_shipped_weights_resolves_to_their_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert weights_path("clit_small") == str(FOLDER / "clit_small.pth")
    assert weights_path("clit_small.pth") == "clit_small.pth" and weights_path("sub/clit_small") == "sub/clit_small"
    with pytest.raises(UserError, match="^clit_smal: no such weights file; the package has clit_small and clit_small_"):
        weights_path("clit_smal")


def test_a_file_of_that_name_takes_precedence_over_shipped_weights(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "clit_small").write_bytes(b"")
    assert weights_path("clit_small") == "clit_small"
