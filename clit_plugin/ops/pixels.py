"""Conversion between integer samples (files, NumPy) and floats in [0, 1] (networks)."""

import numpy as np
import torch
from torch import Tensor


def to_floats(samples: np.ndarray) -> Tensor:
    """uint8 or uint16 samples, of any shape, as float32 in [0, 1]."""
    return torch.from_numpy(samples.astype(np.float32) / np.iinfo(samples.dtype).max)


def to_tensor(image: np.ndarray) -> Tensor:
    """An image (H, W, C) uint8 or uint16 as (C, H, W) float32 in [0, 1], contiguous."""
    return to_floats(np.ascontiguousarray(image.transpose(2, 0, 1)))


def to_samples(image: Tensor, bits: int = 8) -> np.ndarray:
    """An image (C, H, W), about [0, 1], as (H, W, C) uint8 or uint16, clamped and rounded; one channel as (H, W)."""
    top = 2**bits - 1
    rounded = (image.clamp(0, 1) * top).round().permute(1, 2, 0).cpu().numpy()
    samples = rounded.astype(np.uint16 if bits == 16 else np.uint8)
    return samples[..., 0] if len(image) == 1 else samples
