"""Score systems and bicubic interpolation on the demo's held-out photographs: mean and spread over seeds.

usage: python scripts/compare_table.py VAL_LMDB NAME=WEIGHTS.pth ...     (repeat a NAME for further seeds)
"""

import sys
from collections import defaultdict
from collections.abc import Callable

import numpy as np
from demo_table import bicubic, held_out, load
from torch import Tensor
from tqdm import tqdm

from clit_plugin.metrics.float_metrics import psnr_float
from clit_plugin.metrics.protocol import EvaluationProtocol

SCALES = (2, 3, 4, 6, 12)


def scores(root: str, upscale: Callable[[Tensor, tuple[int, int]], Tensor], progress: tqdm) -> list[float]:
    """Mean PSNR over the photographs, at each scale."""
    protocol, means = EvaluationProtocol.named("benchmark"), []
    for scale in SCALES:
        dataset, values = held_out(root, scale), []
        for i in range(len(dataset)):
            lq, gt = dataset[i]["lq"][None], dataset[i]["gt"][None]
            result = upscale(lq, (gt.shape[-2], gt.shape[-1]))
            values.append(psnr_float(result, gt, **protocol.metric_options(scale)))
            progress.update()
        means.append(float(np.mean(values)))
    return means


def main(root: str, systems: list[tuple[str, str]]) -> None:
    """Print the table."""
    total = (1 + len(systems)) * len(SCALES) * len(held_out(root, SCALES[0]))
    table, sizes = defaultdict(list), {}
    with tqdm(total=total, desc="Scoring", unit="image") as progress:
        table["bicubic"].append(scores(root, bicubic, progress))
        for name, path in systems:
            net = load(path)
            sizes[name] = sum(p.numel() for p in net.parameters())
            table[name].append(scores(root, net.upscale, progress))
    seeds = max(map(len, table.values()))
    print(f"PSNR in dB, mean and standard deviation over {seeds} seeds, {EvaluationProtocol.named('benchmark')}\n")
    print("| system | parameters | " + " | ".join(f"x{scale}" for scale in SCALES) + " |")
    print("|---|---|" + "---|" * len(SCALES))
    for name, runs in table.items():
        mean, spread = np.mean(runs, 0), np.std(runs, 0, ddof=1 if len(runs) > 1 else 0)
        cells = [f"{m:.2f} ± {s:.2f}" if len(runs) > 1 else f"{m:.2f}" for m, s in zip(mean, spread, strict=True)]
        print(f"| {name} | {sizes.get(name, '-')} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    if len(sys.argv) < 3 or not all("=" in argument for argument in sys.argv[2:]):
        sys.exit(__doc__)
    main(sys.argv[1], [argument.partition("=")[::2] for argument in sys.argv[2:]])
