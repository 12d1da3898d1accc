"""Sizes and scales as people say them, width x height, against (H, W) and (y, x) everywhere inside."""

from collections.abc import Sequence


def by(size: tuple[int, int]) -> str:
    """``WxH`` of (H, W)."""
    return f"{size[1]}x{size[0]}"


def scale_label(scale: float | Sequence[float]) -> str:
    """``2``, ``3.7``, or ``2x3.5``, of width and height, for (3.5, 2)."""
    y, x = (scale, scale) if isinstance(scale, (int, float)) else scale
    return f"{y:g}" if y == x else f"{x:g}x{y:g}"
