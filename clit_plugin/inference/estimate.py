"""How long an image will take, before it is begun."""

import math
import time

from torch import Tensor

from clit_plugin.archs.arbitrary_scale_arch import ArbitraryScaleArch

_LARGE = 2_000_000  # pixels of the output; less is done before an estimate is worth anything
_SIDES = (16, 64)  # pixels of the part that is tried


def estimate_seconds(
    net: ArbitraryScaleArch, lq: Tensor, size: tuple[int, int], *, max_queries: int | None = None
) -> float | None:
    """Seconds that ``net.upscale`` will take, from the middle of the image by the same scale.

    The part is 1/64 of the image or less, and is computed twice: the first time pays for what a device does once. What
    a small part costs beside its pixels makes the estimate too long rather than too short.

    Args:
        net: On the device of ``lq``.
        lq: (1, 3, H, W), RGB in [0, 1].
        size: (H_out, W_out).
        max_queries: As in ``ArbitraryScaleArch.upscale``.

    Returns:
        None where the output is small, or the image has too few pixels to try a part of it.
    """
    height, width = lq.shape[-2:]
    side = min(int(math.sqrt(height * width) / 8), _SIDES[1], height, width)
    if size[0] * size[1] < _LARGE or side < _SIDES[0]:
        return None
    top, left = (height - side) // 2, (width - side) // 2
    part = lq[..., top : top + side, left : left + side]
    part_size = (round(side * size[0] / height), round(side * size[1] / width))
    for _ in range(2):
        begun = time.perf_counter()
        net.upscale(part, part_size, max_queries=max_queries).sum().item()  # a number: the device has to be done
        seconds = time.perf_counter() - begun
    return seconds * (size[0] * size[1]) / (part_size[0] * part_size[1])


def told(seconds: float) -> str:
    """A duration as people say it: ``40 s``, ``3 min``, ``2 h 10 min``."""
    if seconds < 60:
        return f"{max(1, round(seconds))} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
