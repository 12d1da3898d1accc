"""Sizes and scales: (H, W) and (y, x) in the code, width x height in every text.

A scale is a number, or a pair (y, x) where the axes differ.
"""

from collections.abc import Sequence

Size = tuple[int, int]
Pair = tuple[float, float]

# Absorbs rounding errors of sizes, scales and their products where they are compared with whole numbers or each other:
# 33 / 1.1 gives 29.999999999999996.
ROUNDING = 1e-9


def wxh(size: Size) -> str:
    """``WxH`` of (H, W)."""
    return f"{size[1]}x{size[0]}"


def scale_pair(scale: float | Sequence[float]) -> Pair:
    """(y, x) of a scale."""
    return (scale, scale) if isinstance(scale, (int, float)) else (scale[0], scale[1])


def scale_label(scale: float | Sequence[float]) -> str:
    """``2``, ``3.7``, or ``2x3.5``, of width and height, for (3.5, 2)."""
    y, x = scale_pair(scale)
    return f"{y:g}" if y == x else f"{x:g}x{y:g}"


def scaled_size(size: Size, scale: float | Sequence[float]) -> Size:
    """``size`` (H, W) times the scale, rounded half to even, as LIIF rounds."""
    y, x = scale_pair(scale)
    return round(size[0] * y), round(size[1] * x)


def lr_size(size: Size, scale: float | Sequence[float]) -> Size:
    """Size (h, w) of the LR image of an HR image of ``size`` (H, W): floor(H / scale).

    HR is then cropped to ``scaled_size(lr_size(size, scale), scale)``.
    """
    y, x = scale_pair(scale)
    return int(size[0] / y + ROUNDING), int(size[1] / x + ROUNDING)
