"""Bicubic rows of the benchmarks, by dataset, architecture and protocol, against figures known beforehand.

The figures are those of data/README.md of the folder with test data; the images are not part of this project.
"""

from pathlib import Path

import pytest
import torch

from clit_plugin.archs import Bicubic
from clit_plugin.data.arbitrary_scale_paired_dataset import ArbitraryScalePairedDataset
from clit_plugin.evaluation.results import mean
from clit_plugin.metrics.scoring import score_image

FIGURES = {
    ("Set5", "pil"): {2: 33.673, 3: 30.403, 4: 28.429, 6: 25.930, 8: 24.399},
    ("Set5", "matlab"): {2: 33.682, 3: 30.405, 4: 28.431},
    ("Set14", "pil"): {2: 30.325, 3: 27.631, 4: 26.091, 6: 24.337, 8: 23.187},
    ("Set14", "matlab"): {2: 30.330, 3: 27.634, 4: 26.092},
    ("B100", "pil"): {2: 29.560, 3: 27.209, 4: 25.961, 6: 24.541, 8: 23.668},
    ("B100", "matlab"): {2: 29.565, 3: 27.211, 4: 25.963},
    ("Urban20", "pil"): {2: 26.594, 3: 24.240, 4: 22.962, 6: 21.479, 8: 20.568},
}


@pytest.fixture(scope="module")
def benchmarks(shared) -> Path:
    """The folder of benchmark images."""
    folder = shared / "data" / "benchmarks"
    if not folder.is_dir():
        pytest.skip(f"no folder {folder} with benchmark images")
    return folder


@pytest.mark.parametrize(
    ("name", "kernel", "scale"),
    [(name, kernel, scale) for (name, kernel), figures in FIGURES.items() for scale in figures],
)
def test_the_bicubic_row_has_the_published_figures(benchmarks, name, kernel, scale):
    options = {"phase": "test", "name": name, "dataroot_gt": str(benchmarks / name / "HR"), "degradation": kernel}
    dataset = ArbitraryScalePairedDataset({**options, "scale": scale, "protocol": "benchmark"})
    net, metrics = Bicubic(kernel=kernel), {"psnr": {"type": "psnr_float"}}
    scores = []
    for item in map(dataset.__getitem__, range(len(dataset))):
        gt = item["gt"][None]
        img = net.upscale(item["lq"][None], tuple(gt.shape[-2:]))
        assert torch.equal(item["scale"], torch.full((2,), float(scale), dtype=torch.float64))
        scores.append(score_image(img, gt, metrics=metrics, protocol=dataset.protocol, scale=scale)["psnr"])
    assert mean(scores) == pytest.approx(FIGURES[name, kernel][scale], abs=0.005)
