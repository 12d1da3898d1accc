"""One training sample: an LR patch and the colours of HR pixels at exact coordinates (paper 4.1)."""

import math
from dataclasses import dataclass

import numpy as np

from clit_plugin.data.realistic_degradation import Degradation, make_lr


@dataclass(kw_only=True)
class Sample:
    """A training sample before its conversion to tensors.

    Attributes:
        lq: (n, n, 3) uint8, RGB.
        coord: (Q, 2) float64 in [-1, 1] over the LR patch, order (y, x).
        gt: (Q, 3) uint8, RGB.
        cell: (2,) float64, height and width of an HR pixel in the same units.
    """

    lq: np.ndarray
    coord: np.ndarray
    gt: np.ndarray
    cell: np.ndarray


def sample_from_hr(
    gt: np.ndarray,
    *,
    lq_size: int,
    scale: float,
    num_queries: int,
    degradation: str | Degradation,
    rng: np.random.Generator,
) -> Sample:
    """Crop round(lq_size * scale)^2 pixels of an HR image, make the LR patch and draw queries.

    Args:
        gt: (H, W, 3) uint8, at least as large as the crop.
        lq_size: Side of the LR patch.
        scale: At least 1.
        num_queries: Number of distinct pixels to draw, at most lq_size^2.
        degradation: As in ``make_lr``.
        rng: Draws the crop and the pixels.
    """
    size = round(lq_size * scale)
    top, left = (int(rng.integers(0, side - size + 1)) for side in gt.shape[:2])
    lq = make_lr(gt, (lq_size, lq_size), degradation, (top, left, size, size))
    picked = rng.choice(size * size, num_queries, replace=False, shuffle=False)
    rows, cols = np.divmod(picked, size)
    coord = (np.stack([rows, cols], axis=-1) + 0.5) * (2.0 / size) - 1.0
    return Sample(lq=lq, coord=coord, gt=gt[top + rows, left + cols], cell=np.array([2.0 / size, 2.0 / size]))


def sample_from_pair(
    lq: np.ndarray, gt: np.ndarray, *, lq_size: int, num_queries: int, rng: np.random.Generator
) -> Sample:
    """Crop a given LR image and draw HR pixels whose centres lie in the crop.

    The scale is the ratio of the sizes, any real number per axis. Nothing is resampled: the coordinates say exactly
    where an HR pixel's centre lies in the LR crop.

    Args:
        lq: (h, w, 3) uint8, no side below lq_size.
        gt: (H, W, 3) uint8, at least as large as ``lq``.
        lq_size: Side of the LR patch.
        num_queries: Number of distinct pixels to draw, at most lq_size^2.
        rng: Draws the crop and the pixels.
    """
    spans, starts, scales = [], [], []
    for small, large in zip(lq.shape[:2], gt.shape[:2], strict=True):
        scale = large / small
        start = int(rng.integers(0, small - lq_size + 1))
        # Pixel j's centre lies in the crop if start <= (j + 0.5) / scale < start + lq_size.
        first = math.ceil(start * scale - 0.5)
        last = min(math.ceil((start + lq_size) * scale - 0.5), large)
        spans.append((first, last - first))
        starts.append(start)
        scales.append(scale)
    (top, height), (left, width) = spans
    picked = rng.choice(height * width, num_queries, replace=False, shuffle=False)
    rows, cols = top + picked // width, left + picked % width
    inside = (np.stack([rows, cols], axis=-1) + 0.5) / np.array(scales) - np.array(starts)  # in LR pixels
    patch = lq[starts[0] : starts[0] + lq_size, starts[1] : starts[1] + lq_size]
    return Sample(
        lq=patch, coord=inside * (2.0 / lq_size) - 1.0, gt=gt[rows, cols], cell=2.0 / (lq_size * np.array(scales))
    )


def augment(sample: Sample, *, hflip: bool, vflip: bool, rot: bool, rng: np.random.Generator) -> Sample:
    """Flip and rotate at random: the pixels of the patch, the coordinates of the queries.

    Args:
        sample: It is not modified.
        hflip: Whether to flip horizontally with probability 0.5.
        vflip: Whether to flip vertically with probability 0.5.
        rot: Whether to transpose with probability 0.5, which with the flips makes rotations by 90 degrees.
        rng: The number of draws is fixed, so that one option does not affect the outcome of the others.
    """
    lq, coord, cell = sample.lq, sample.coord, sample.cell
    draws = rng.random(3) < 0.5
    if hflip and draws[0]:
        lq, coord = lq[:, ::-1], coord * np.array([1.0, -1.0])
    if vflip and draws[1]:
        lq, coord = lq[::-1], coord * np.array([-1.0, 1.0])
    if rot and draws[2]:
        lq, coord, cell = lq.transpose(1, 0, 2), coord[:, ::-1], cell[::-1]
    return Sample(lq=lq, coord=coord, gt=sample.gt, cell=cell)
