"""Composes images with captions in a grid; images are never interpolated."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFont

_GAP = 8
_LINE = 16
_FONT_SIZE = 13


@dataclass(frozen=True)
class Panel:
    """An image (H, W, 3) uint8, the caption below it, and an integer factor by which its pixels are repeated."""

    image: np.ndarray
    caption: str
    zoom: int = 1

    @property
    def width(self) -> int:
        """Width in pixels, caption included."""
        return max(self.image.shape[1] * self.zoom, *(_width(line) for line in self.caption.split("\n")))

    @property
    def height(self) -> int:
        """Height in pixels, caption included."""
        return self.image.shape[0] * self.zoom + 4 + _LINE * len(self.caption.split("\n"))


def compose(rows: Sequence[Sequence[Panel]], footer: str) -> np.ndarray:
    """Lay out panels on white in aligned columns, with a footer wrapped to the width.

    Returns:
        (H, W, 3) uint8.
    """
    columns = [max(row[i].width for row in rows if i < len(row)) for i in range(max(map(len, rows)))]
    heights = [max(panel.height for panel in row) for row in rows]
    width = max(sum(columns) + _GAP * (len(columns) + 1), 320)
    lines = _wrapped(footer, width - 2 * _GAP)
    page = Image.new("RGB", (width, sum(heights) + _GAP * (len(rows) + 1) + _LINE * len(lines) + _GAP), "white")
    draw = ImageDraw.Draw(page)
    y = _GAP
    for row, height in zip(rows, heights, strict=True):
        x = _GAP
        for panel, column in zip(row, columns, strict=False):
            image = Image.fromarray(panel.image.repeat(panel.zoom, 0).repeat(panel.zoom, 1))
            page.paste(image, (x, y))
            for i, line in enumerate(panel.caption.split("\n")):
                draw.text((x, y + image.height + 4 + i * _LINE), line, fill="black", font=_font())
            x += column + _GAP
        y += height + _GAP
    for i, line in enumerate(lines):
        draw.text((_GAP, y + i * _LINE), line, fill="#555555", font=_font())
    return np.asarray(page)


def _font() -> ImageFont.ImageFont | ImageFont.FreeTypeFont:
    return ImageFont.load_default(_FONT_SIZE)


def _width(text: str) -> int:
    return int(_font().getlength(text)) + 1


def _wrapped(text: str, width: int) -> list[str]:
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if lines[-1] and _width(longer) > width:
            lines.append(word)
        else:
            lines[-1] = longer
    return lines
