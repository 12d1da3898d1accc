"""Images as bytes, for the tests of the page."""

import io

import numpy as np
import torch
from PIL import Image


def png(height, width, mode="RGB", seed=0):
    """A PNG's bytes."""
    channels = {"RGB": 3, "RGBA": 4}[mode]
    samples = np.random.default_rng(seed).integers(0, 256, (height // 4 + 1, width // 4 + 1, channels), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(samples, mode).resize((width, height), Image.Resampling.BICUBIC).save(buffer, "PNG")
    return buffer.getvalue()


def decoded(content):
    """Decode an image file's bytes to (3, H, W) in [0, 1]."""
    return torch.from_numpy(np.array(Image.open(io.BytesIO(content)).convert("RGB"))).permute(2, 0, 1) / 255
