"""An estimate of how long upscaling an image will take."""

import math
import time

from torch import Tensor

from clit_plugin.archs.arbitrary_scale_arch import ArbitraryScaleArch

_MIN_PIXELS = 2_000_000  # of the output; smaller ones finish too soon for an estimate to be useful
_SIDES = (16, 64)  # smallest and largest side of the timed part, in LR pixels


def estimate_seconds(
    net: ArbitraryScaleArch, lq: Tensor, size: tuple[int, int], *, max_queries: int | None = None
) -> float | None:
    """Seconds that ``net.upscale`` will take, extrapolated from the middle of the image at the same scale.

    The timed part is at most 1/64 of the image and is computed twice, the first time as a warm-up. Because of fixed
    costs, the estimate is too long rather than too short.

    Args:
        net: The network, on the device of ``lq``.
        lq: (1, 3, H, W), RGB in [0, 1].
        size: (H_out, W_out).
        max_queries: As in ``ArbitraryScaleArch.upscale``.

    Returns:
        None if the output is small, or the image too small to time a part of it.
    """
    height, width = lq.shape[-2:]
    side = min(int(math.sqrt(height * width) / 8), _SIDES[1], height, width)
    if size[0] * size[1] < _MIN_PIXELS or side < _SIDES[0]:
        return None
    top, left = (height - side) // 2, (width - side) // 2
    part = lq[..., top : top + side, left : left + side]
    part_size = (round(side * size[0] / height), round(side * size[1] / width))
    for _ in range(2):
        start = time.perf_counter()
        net.upscale(part, part_size, max_queries=max_queries).sum().item()  # .item() waits for the device
        seconds = time.perf_counter() - start
    return seconds * (size[0] * size[1]) / (part_size[0] * part_size[1])


def duration_text(seconds: float) -> str:
    """A rounded duration: ``40 s``, ``3 min``, ``2 h 10 min``."""
    if seconds < 60:
        return f"{max(1, round(seconds))} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
