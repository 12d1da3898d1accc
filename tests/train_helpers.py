"""Tiny data sets and shrunk option files, for tests that train for real."""

from pathlib import Path

import numpy as np
import torch
import yaml
from PIL import Image
from tiny_networks import TINY_NETWORK

from clit_plugin.commands.cli import main
from clit_plugin.data.lmdb_files.prepare import prepare_lmdb
from clit_plugin.models.cumulative_scale_model import CumulativeScaleModel
from clit_plugin.ops.bicubic import resize_bicubic

STAGES = {
    1: [[[1, 4]]],
    2: [[[1, 4]], [[1, 4], [1, 4]]],
    3: [[[1, 4]], [[1, 4], [1, 4]], [[1, 4], [1, 4], [1, 2]]],
}


def write_images(folder: Path, count: int, size: tuple[int, int]) -> Path:
    """Smooth random colour images, 0001.png and on."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for i in range(count):
        small = rng.integers(0, 256, (6, 6, 3), dtype=np.uint8)
        Image.fromarray(resize_bicubic(small, size, "pil")).save(folder / f"{i + 1:04}.png")
    return folder


def write_lr(hr: Path, folder: Path, scale: int) -> Path:
    """LR files named as DIV2K's, 0001x2.png."""
    folder.mkdir(parents=True)
    for file in sorted(hr.glob("*.png")):
        image = np.asarray(Image.open(file))
        size = (image.shape[0] // scale, image.shape[1] // scale)
        Image.fromarray(resize_bicubic(image, size, "pil")).save(folder / f"{file.stem}x{scale}.png")
    return folder


def to_lmdb(folder: Path) -> Path:
    """The folder as an LMDB beside it."""
    output = folder.with_name(folder.name + ".lmdb")
    prepare_lmdb(folder=folder, output=output)
    return output


def stage_options(images: Path, stage: int, *, name: str, total_iter: int = 4, batch: int = 2) -> dict:
    """A complete option mapping of a tiny stage."""
    return {
        "name": name,
        "num_gpu": 0,
        "manual_seed": 3,
        "datasets": {
            "train": {
                "name": "tiny",
                "dataroot_gt": str(images),
                "degradation": "pil",
                "scale_ranges": STAGES[stage],
                "lq_size": 8,
                "batch_size_per_gpu": batch,
                "dataset_enlarge_ratio": 4,
            },
            "val": {"name": "tiny_x2.5", "dataroot_gt": str(images), "degradation": "pil", "scale": 2.5}
            | {"protocol": "benchmark", "max_images": 1},
        },
        "network_g": {**TINY_NETWORK, "num_branches": stage},
        "train": {
            "total_iter": total_iter,
            "optim_g": {"type": "Adam", "lr": 1e-3},
            "scheduler": {"type": "MultiStepLR", "milestones": [3], "gamma": 0.5},
            "pixel_opt": {"type": "L1Loss"},
            "ema_decay": 0.9,
        },
        "val": {"val_freq": total_iter, "metrics": {"psnr": {"type": "psnr_float"}}, "pbar": False},
        "logger": {"print_freq": 1, "save_checkpoint_freq": 2, "use_tb_logger": False},
    }


def write_yaml(path: Path, options: dict) -> str:
    """The options as a file."""
    path.write_text(yaml.safe_dump(options), encoding="utf-8")
    return str(path)


def train(*arguments: str) -> int:
    """``clit train`` in this process."""
    return main(["train", *arguments])


def weights(folder: Path, name: str, file: str = "net_g_latest.pth") -> dict[str, torch.Tensor]:
    """All tensors of a checkpoint, of both kinds of weights."""
    content = torch.load(folder / "experiments" / name / "models" / file, weights_only=True)
    return {f"{kind}.{key}": value for kind in ("params", "params_ema") for key, value in content[kind].items()}


def log_of(folder: Path, name: str) -> str:
    """The text of a run's newest log."""
    return max(
        (folder / "experiments" / name).glob("train_*.log"), key=lambda path: path.stat().st_mtime_ns
    ).read_text()


def stop_at(monkeypatch, name, step, action):
    """Let ``action`` happen in place of, or before, one training step."""
    original = CumulativeScaleModel.optimize_parameters

    def optimize_parameters(self, current_iter):
        if self.opt["name"] == name and current_iter == step:
            action()
        original(self, current_iter)

    monkeypatch.setattr(CumulativeScaleModel, "optimize_parameters", optimize_parameters)


def crash():
    raise KeyboardInterrupt
