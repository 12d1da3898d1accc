"""Parsing and checking of request parameters."""

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from clit_plugin.ops.coordinates import Size
from clit_plugin.ops.parts import Span
from clit_plugin.ops.sizes import wxh
from clit_plugin.utils.errors import UserError
from clit_plugin.web.images import FORMATS, MAX_SIDE

MAX_SCALE = 64  # per axis
MAX_TILE_SIDE = 512  # pixels
MAX_DOWNLOAD_PIXELS = 100_000_000  # pixels


class Region(NamedTuple):
    """A part of the picture enlarged to ``size`` (H, W) by the network with index ``lens``."""

    lens: int
    size: Size
    rows: Span
    columns: Span

    @property
    def shape(self) -> Size:
        """(H, W) of the part."""
        return self.rows[1] - self.rows[0], self.columns[1] - self.columns[0]


class DownloadOptions(NamedTuple):
    """A region to download as a file of some format (``kind``)."""

    region: Region
    kind: str
    quality: int


def whole_number(values: Mapping[str, Any], key: str, low: int, high: int) -> int:
    """The whole number under ``key``.

    Raises:
        UserError: It is missing, not a whole number, or outside [low, high].
    """
    value = values.get(key)
    text = "" if value is None or isinstance(value, bool) else str(value)
    if not re.fullmatch(r"[0-9]{1,9}", text) or not low <= int(text) <= high:
        raise UserError(f"{key}: expected a whole number from {low} to {high}, got {str(value)[:20]}")
    return int(text)


def parse_size(values: Mapping[str, Any], picture: Size) -> Size:
    """(H, W) of the output, from ``height`` and ``width``: between the picture's and ``MAX_SCALE`` times as much."""
    height, width = (
        whole_number(values, key, n, n * MAX_SCALE) for key, n in zip(("height", "width"), picture, strict=True)
    )
    return height, width


def parse_region(values: Mapping[str, Any], picture: Size, lenses: int, *, longest: int | None) -> Region:
    """The part of ``w`` x ``h`` pixels at ``x``, ``y``, inside the output; each side at most ``longest``."""
    lens = whole_number(values, "lens", 0, lenses - 1)
    size = parse_size(values, picture)
    spans = []
    for position, side, n in (("y", "h", size[0]), ("x", "w", size[1])):
        start = whole_number(values, position, 0, n - 1)
        spans.append((start, start + whole_number(values, side, 1, min(n - start, longest or n))))
    return Region(lens, size, spans[0], spans[1])


def parse_visible(values: Mapping[str, Any], size: Size) -> tuple[Span, Span] | None:
    """Rows and columns of the output that are on screen, from ``visible=x,y,w,h``; None without it."""
    text = values.get("visible")
    if text is None:
        return None
    keys = ("visible x", "visible y", "visible w", "visible h")
    numbers = dict(zip(keys, str(text).split(","), strict=False))
    spans = []
    for position, side, n in (("visible y", "visible h", size[0]), ("visible x", "visible w", size[1])):
        start = whole_number(numbers, position, 0, n - 1)
        spans.append((start, start + whole_number(numbers, side, 1, n - start)))
    return spans[0], spans[1]


def parse_download(values: object, picture: Size, lenses: int) -> DownloadOptions:
    """Options of a download, from the JSON body."""
    if not isinstance(values, dict):
        raise UserError("expected a JSON object")
    kind = values.get("format")
    if kind not in FORMATS:
        raise UserError(f"format: expected one of {', '.join(FORMATS)}, got {str(kind)[:20]}")
    region = parse_region(values, picture, lenses, longest=None)
    if region.shape[0] * region.shape[1] > MAX_DOWNLOAD_PIXELS:
        limit = f"{MAX_DOWNLOAD_PIXELS // 10**6} million pixels"
        raise UserError(f"{wxh(region.shape)} is more than {limit}; use clit upscale")
    if max(region.shape) > MAX_SIDE[kind]:
        raise UserError(f"{wxh(region.shape)} exceeds the {MAX_SIDE[kind]} pixels per side of {kind}; use PNG")
    return DownloadOptions(region, kind, whole_number(values, "quality", 1, 100))
