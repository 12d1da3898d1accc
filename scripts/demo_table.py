"""Score the demo's two stages and bicubic interpolation on the held-out photographs; write a picture of them.

usage: python scripts/demo_table.py VAL_LMDB STAGE1.pth STAGE2.pth PICTURE.png
"""

import sys
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor
from tqdm import tqdm

import clit_plugin  # noqa: F401, fills the registries
from clit_plugin.data.arbitrary_scale_paired_dataset import ArbitraryScalePairedDataset
from clit_plugin.inference.load_network import load_network
from clit_plugin.metrics.float_metrics import psnr_float
from clit_plugin.metrics.protocol import EvaluationProtocol
from clit_plugin.ops.bicubic import resize_bicubic
from clit_plugin.ops.pixels import to_samples, to_tensor

SCALES = (2, 3, 4, 6, 12)
PICTURE_SCALE = 4
# Centre of the detail that the picture shows of each photograph, as fractions of height and width.
DETAILS = {"astronaut": (0.22, 0.42), "coffee": (0.45, 0.55)}
DETAIL_SIZE = 96


def load(path: str) -> torch.nn.Module:
    """Load a network with its averaged weights."""
    return load_network(path)


def held_out(root: str, scale: float) -> ArbitraryScalePairedDataset:
    """The held-out photographs at one scale."""
    options = {"phase": "val", "name": "held out", "dataroot_gt": root, "degradation": "pil", "scale": scale}
    return ArbitraryScalePairedDataset({**options, "protocol": "benchmark"})


def bicubic(lq: Tensor, size: tuple[int, int]) -> Tensor:
    """Pillow's bicubic interpolation of (1, 3, H, W) in [0, 1], rounded to bytes as an image viewer would."""
    return to_tensor(resize_bicubic(to_samples(lq[0]), size, "pil"))[None]


def main(root: str, stage1: str, stage2: str, picture: str) -> None:
    """Print the table and write the picture."""
    lit, clit = load(stage1), load(stage2)
    protocol = EvaluationProtocol.named("benchmark")
    rows, panels = [], []
    progress = tqdm(total=len(SCALES) * len(held_out(root, SCALES[0])), desc="Scoring", unit="image")
    for scale in SCALES:
        scores = []
        dataset = held_out(root, scale)
        for i, name in enumerate(dataset.names):
            lq, gt = dataset[i]["lq"][None], dataset[i]["gt"][None]
            size = (gt.shape[-2], gt.shape[-1])
            results = [bicubic(lq, size), lit.upscale(lq, size), clit.upscale(lq, size)]
            scores.append([psnr_float(result, gt, **protocol.metric_options(scale)) for result in results])
            if scale == PICTURE_SCALE and name in DETAILS:
                panels.append((DETAILS[name], [lq, results[0], results[2], gt]))
            progress.update()
        rows.append((scale, np.mean(scores, axis=0)))
    progress.close()
    print(f"\nPSNR in dB, mean of {len(dataset)} held-out photographs")
    print(f"protocol {protocol}; floats; LR by Pillow bicubic of the HR cropped to a multiple\n")
    print("scale   bicubic       LIT      CLIT   gain of CLIT over bicubic")
    for scale, (base, one, two) in rows:
        print(f"x{scale:<4}  {base:8.2f}  {one:8.2f}  {two:8.2f}   {two - base:+.2f}")
    draw(panels, Path(picture))
    print(f"\npicture at x{PICTURE_SCALE}, LR, bicubic, CLIT, HR: {Path(picture).resolve()}")


def draw(panels: list[tuple[tuple[float, float], list[Tensor]]], path: Path) -> None:
    """One row per photograph: the same detail of LR, bicubic, CLIT and HR, enlarged without interpolation."""
    side, gap, label = 3 * DETAIL_SIZE, 8, 28
    sheet = Image.new("RGB", (4 * (side + gap) - gap, label + len(panels) * (side + gap) - gap), "white")
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(18)
    for column, title in enumerate((f"LR (x{PICTURE_SCALE})", "bicubic", "CLIT", "HR")):
        pen.text((column * (side + gap) + 2, 2), title, fill="black", font=font)
    for row, ((y, x), images) in enumerate(panels):
        for column, image in enumerate(images):
            ratio = image.shape[-1] / images[-1].shape[-1]
            size = round(DETAIL_SIZE * ratio)
            top, left = round(y * image.shape[-2]) - size // 2, round(x * image.shape[-1]) - size // 2
            detail = image[0, :, top : top + size, left : left + size]
            pixels = Image.fromarray(to_samples(detail))
            sheet.paste(
                pixels.resize((side, side), Image.Resampling.NEAREST),
                (column * (side + gap), label + row * (side + gap)),
            )
    sheet.save(path)


if __name__ == "__main__":
    if len(sys.argv) != 5:
        sys.exit(__doc__)
    main(*sys.argv[1:])
