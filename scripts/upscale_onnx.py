"""Upscale an image with the two graphs of ``clit export net.pth -o net.onnx``, using only onnxruntime and numpy.

usage: python upscale_onnx.py net_encoder.onnx net_decoder.onnx IN.npy OUT.npy SCALE      (arrays (H, W, 3), uint8, RGB)
"""

import sys
from collections.abc import Sequence

import numpy as np
from onnxruntime import InferenceSession as Session


def centres(n: int) -> np.ndarray:
    """Pixel centres of an axis, in [-1, 1]."""
    return np.float32((1 - n) / n) + np.float32(2 / n) * np.arange(n, dtype=np.float32)


def stage_sizes(lq_size: Sequence[int], size: Sequence[int], branches: int, step: int) -> np.ndarray:
    """The grids between the branches of a cascade, each ``step`` times larger than the one before."""
    scales = [out / n for out, n in zip(size, lq_size, strict=True)]
    factors = [step**i for i in range(1, branches) if step**i < max(scales) * (1 - 1e-9)]
    stages = [[round(n * max(1, min(f, s))) for n, s in zip(lq_size, scales, strict=True)] for f in factors]
    return np.array(stages, np.int64).reshape(-1, 2)


def upscale(encoder: Session, decoder: Session, image: np.ndarray, size: Sequence[int]) -> np.ndarray:
    """Upscale an image (H, W, 3), uint8, to ``size`` (H_out, W_out)."""
    metadata = decoder.get_modelmeta().custom_metadata_map
    lq = (image.astype(np.float32) / 255).transpose(2, 0, 1)[None]
    inputs = {"features": encoder.run(None, {"lq": lq})[0], "cell": np.array([2 / n for n in size], np.float32)}
    if "num_branches" in metadata:
        branches, step = int(metadata["num_branches"]), int(metadata["max_factor"])
        inputs["stage_sizes"] = stage_sizes(image.shape[:2], size, branches, step)
    rows, strips = max(1, int(metadata["max_queries"]) // size[1]), []
    for top in range(0, size[0], rows):
        coord = np.stack(np.meshgrid(centres(size[0])[top : top + rows], centres(size[1]), indexing="ij"), -1)
        strips.append(decoder.run(None, {**inputs, "coord": coord.reshape(-1, 2)})[0].reshape(-1, size[1], 3))
    return (np.concatenate(strips).clip(0, 1) * 255).round().astype(np.uint8)


if __name__ == "__main__":
    if len(sys.argv) != 6:
        sys.exit(__doc__)
    graphs = [Session(file, providers=["CPUExecutionProvider"]) for file in sys.argv[1:3]]
    source, scale = np.load(sys.argv[3]), float(sys.argv[5])
    np.save(sys.argv[4], upscale(*graphs, source, [round(n * scale) for n in source.shape[:2]]))
