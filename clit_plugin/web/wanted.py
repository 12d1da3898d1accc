"""What requests ask for, checked: whole numbers within bounds."""

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from clit_plugin.ops.coordinates import Size
from clit_plugin.ops.parts import Span
from clit_plugin.ops.sizes import wxh
from clit_plugin.utils.errors import UserError
from clit_plugin.web.images import FORMATS, LONGEST_SIDE

MOST_SCALE = 64  # of an axis
LONGEST_TILE = 512  # pixels
MOST_DOWNLOAD = 100_000_000  # pixels


class Region(NamedTuple):
    """A part of an output of (H, W) ``size`` under one of the networks."""

    lens: int
    size: Size
    rows: Span
    columns: Span

    @property
    def shape(self) -> Size:
        """(H, W) of the part."""
        return self.rows[1] - self.rows[0], self.columns[1] - self.columns[0]


class Order(NamedTuple):
    """A region to download as a file."""

    region: Region
    kind: str
    quality: int


def whole_number(values: Mapping[str, Any], key: str, low: int, high: int) -> int:
    """One of the values.

    Raises:
        UserError: It is missing, no whole number, or outside [low, high].
    """
    given = values.get(key)
    text = "" if given is None or isinstance(given, bool) else str(given)
    if not re.fullmatch(r"[0-9]{1,9}", text) or not low <= int(text) <= high:
        raise UserError(f"{key}: expected a whole number from {low} to {high}, got {str(given)[:20]}")
    return int(text)


def parse_size(values: Mapping[str, Any], picture: Size) -> Size:
    """The output's (H, W): at least the picture's, and at most ``MOST_SCALE`` times as large."""
    height, width = (
        whole_number(values, key, n, n * MOST_SCALE) for key, n in zip(("height", "width"), picture, strict=True)
    )
    return height, width


def parse_region(values: Mapping[str, Any], picture: Size, lenses: int, *, longest: int | None) -> Region:
    """The part from ``x``, ``y`` on of ``w`` x ``h`` pixels, inside the output; no side above ``longest``."""
    lens = whole_number(values, "lens", 0, lenses - 1)
    size = parse_size(values, picture)
    spans = []
    for place, side, n in (("y", "h", size[0]), ("x", "w", size[1])):
        start = whole_number(values, place, 0, n - 1)
        spans.append((start, start + whole_number(values, side, 1, min(n - start, longest or n))))
    return Region(lens, size, spans[0], spans[1])


def parse_seen(values: Mapping[str, Any], size: Size) -> tuple[Span, Span] | None:
    """Rows and columns of the output that the view shows, of ``seen``: x, y, w and h separated by commas; or None."""
    given = values.get("seen")
    if given is None:
        return None
    numbers = dict(zip(("seen x", "seen y", "seen w", "seen h"), str(given).split(","), strict=False))
    spans = []
    for place, side, n in (("seen y", "seen h", size[0]), ("seen x", "seen w", size[1])):
        start = whole_number(numbers, place, 0, n - 1)
        spans.append((start, start + whole_number(numbers, side, 1, n - start)))
    return spans[0], spans[1]


def parse_order(values: object, picture: Size, lenses: int) -> Order:
    """What is to be downloaded."""
    if not isinstance(values, dict):
        raise UserError("expected an object of options")
    kind = values.get("format")
    if kind not in FORMATS:
        raise UserError(f"format: expected one of {', '.join(FORMATS)}, got {str(kind)[:20]}")
    region = parse_region(values, picture, lenses, longest=None)
    if region.shape[0] * region.shape[1] > MOST_DOWNLOAD:
        raise UserError(f"{wxh(region.shape)} are more than {MOST_DOWNLOAD // 10**6} million pixels; use clit upscale")
    if max(region.shape) > LONGEST_SIDE[kind]:
        raise UserError(f"{wxh(region.shape)} is more than {kind} holds ({LONGEST_SIDE[kind]} a side); take a PNG")
    return Order(region, kind, whole_number(values, "quality", 1, 100))
