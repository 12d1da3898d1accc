"""Sizes and scales as people say them, width x height, against (H, W) and (y, x) everywhere inside."""

from collections.abc import Sequence

from clit_plugin.errors import UserError


def by(size: tuple[int, int]) -> str:
    """``WxH`` of (H, W)."""
    return f"{size[1]}x{size[0]}"


def parse_size(text: str, where: str) -> tuple[int, int]:
    """(H, W) of ``WxH``. Raises UserError for anything but two positive integers."""
    width, _, height = text.lower().partition("x")
    if not (height.isdecimal() and width.isdecimal() and int(height) and int(width)):
        raise UserError(f"{where} {text}: expected WIDTHxHEIGHT in pixels, as 1920x1080")
    return int(height), int(width)


def scale_label(scale: float | Sequence[float]) -> str:
    """``2``, ``3.7``, or ``2x3.5``, of width and height, for (3.5, 2)."""
    y, x = (scale, scale) if isinstance(scale, (int, float)) else scale
    return f"{y:g}" if y == x else f"{x:g}x{y:g}"
