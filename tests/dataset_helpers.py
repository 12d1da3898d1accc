"""Data sets of small random images, and the batches that a loader makes of them."""

import numpy as np
import torch
from PIL import Image
from torch.utils.data import DataLoader

from clit_plugin.data.arbitrary_scale_paired_dataset import ArbitraryScalePairedDataset
from clit_plugin.data.numbered_sampler import NumberedSampler

TENSORS = ("lq", "gt", "coord", "cell", "stage_sizes")
TWO_BRANCHES = [[[1, 2]], [[1, 2], [1, 2]]]


def write_images(folder, *sizes, seed=0):
    """Random images 0001.png, 0002.png and so on, of these (H, W)."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    for number, size in enumerate(sizes, start=1):
        image = rng.integers(0, 256, (*size, 3), dtype=np.uint8)
        Image.fromarray(image).save(folder / f"{number:04}.png", compress_level=1)
    return folder


def train_options(root, **changes):
    options = {"name": "tiny", "type": "ArbitraryScalePairedDataset", "phase": "train", "dataroot_gt": str(root)}
    options |= {"lq_size": 8, "batch_size_per_gpu": 2, "num_worker_per_gpu": 0}
    return options | ({} if "dataroot_lq" in changes else {"degradation": "pil"}) | changes


def val_options(root, **changes):
    options = {"name": "tiny", "type": "ArbitraryScalePairedDataset", "phase": "val", "dataroot_gt": str(root)}
    options |= {"protocol": "benchmark"}
    return options | ({} if "dataroot_lq" in changes else {"degradation": "pil"}) | changes


def train_set(root, **changes):
    return ArbitraryScalePairedDataset(train_options(root, **changes))


def val_set(root, **changes):
    return ArbitraryScalePairedDataset(val_options(root, **changes))


def batches_of(dataset, *, epochs=(0,), rank=0, replicas=1, ratio=1, **loader_options):
    """Batches of the epochs, one epoch after the other, by one loader, as BasicSR loads them."""
    sampler = NumberedSampler(dataset, replicas, rank, ratio)
    loader = DataLoader(
        dataset, batch_size=dataset.batch_size, shuffle=False, sampler=sampler, drop_last=True, **loader_options
    )
    batches = []
    for epoch in epochs:
        sampler.set_epoch(epoch)
        batches += list(loader)
    return batches


def assert_same(batches, others):
    assert len(batches) == len(others) > 0
    for batch, other in zip(batches, others, strict=True):
        assert batch.keys() == other.keys()
        assert all(torch.equal(batch[key], other[key]) for key in (*TENSORS, "epoch"))
        assert batch["gt_path"] == other["gt_path"]


def total_scale(batch, lq_size=8):
    """The factors (y, x) of a batch's first sample, from its cell."""
    return (2 / batch["cell"][0] / lq_size).tolist()
