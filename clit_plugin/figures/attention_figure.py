"""The paper's Fig. 7: local attention maps over the image."""

import io
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from torch import Tensor

from clit_plugin.archs.clit_arch import AttentionMaps
from clit_plugin.ops.coordinates import Size
from clit_plugin.ops.sizes import scale_label, wxh

_REACH = 1.0  # local grids that a panel shows to either side of the query
_PANEL = 1.5  # inches
_COLOURS = "inferno"
_NOTE = (
    "Colour: weight of a pixel of the local grid (red frame) for the query (blue cross), over the image. Above a panel "
    "stands its largest weight; the {pixels} weights of a head add up to 100 %. Coordinates: pixels of the image."
)
Box = tuple[float, float, float, float]  # top, bottom, left, right


@dataclass(frozen=True)
class Query:
    """A position whose attention maps are drawn.

    Attributes:
        text: As the user gave it, ``X,Y``.
        pixel: (y, x) of the output pixel that contains it.
        place: (y, x) of that pixel's centre in pixels of the image; the first pixel's centre is 0.5.
    """

    text: str
    pixel: tuple[int, int]
    place: tuple[float, float]


def draw_attention(
    lq: Tensor, queries: Sequence[Query], maps: Sequence[AttentionMaps], grid: Size, *, scale: float, used: int
) -> bytes:
    """Draw the map of every head of every branch for each query.

    There is one row per query and branch. Its first panel is the image with the query (cross) and the branch's local
    grid (frame). One panel per head follows: the surroundings of the query under the head's weights, dark for zero and
    yellow for the panel's largest weight, which is given above it in percent of the head's sum.

    Args:
        lq: (3, H, W), RGB in [0, 1].
        queries: The positions.
        maps: One per branch, for the same queries and a batch of one.
        grid: (G_h, G_w).
        scale: Of the output.
        used: How many branches the scale uses, counted from the first.

    Returns:
        A PNG file's bytes.
    """
    heads = maps[0].weights.shape[-1]
    rows = [(query, branch) for query in range(len(queries)) for branch in range(len(maps))]
    width_inches = max(_PANEL * (heads + 1.1) + 0.4, 5.5)
    note = textwrap.fill(_NOTE.format(pixels=grid[0] * grid[1]), int(width_inches * 17))
    height_inches = (_PANEL + 0.35) * len(rows) + 0.75 + 0.14 * note.count("\n")
    figure = Figure(figsize=(width_inches, height_inches), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(len(rows), heads + 1, squeeze=False)
    image = lq.clamp(0, 1).permute(1, 2, 0).cpu().numpy()
    height, width = image.shape[:2]
    for axes, (query, branch) in zip(panels, rows, strict=True):
        y, x = queries[query].place
        box = _grid_box(maps[branch], query, grid, (height, width))
        _show(axes[0], image, (y, x), box, (0, height, 0, width))
        pixel = queries[query].pixel
        axes[0].set_title(f"at {queries[query].text}\n(output pixel {pixel[1]},{pixel[0]})", fontsize=7)
        unused = "" if branch < used else f"\nnot used at x{scale_label(scale)}"
        axes[0].set_ylabel(f"branch {branch + 1}, grid\nof {wxh(maps[branch].size)}{unused}", fontsize=7)
        reach = (_REACH * (box[1] - box[0]), _REACH * (box[3] - box[2]))
        window = (y - reach[0], y + reach[0], x - reach[1], x + reach[1])
        weights = maps[branch].weights[0, query].cpu().float().numpy().reshape(*grid, heads)
        for head, panel in enumerate(axes[1:]):
            _show(panel, image, (y, x), box, window)
            _overlay(panel, weights[..., head], box)
            panel.set_title(f"head {head + 1}: up to {100 * weights[..., head].max():.0f} %", fontsize=7)
    legend = figure.colorbar(
        ScalarMappable(Normalize(0, 1), _COLOURS), ax=panels, location="bottom", shrink=0.5, aspect=40, pad=0.02
    )
    legend.set_ticks([0, 0.5, 1], labels=["0 %", "half of it", "the panel's largest"], fontsize=7)
    legend.set_label(note, fontsize=7)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()


def _grid_box(maps: AttentionMaps, query: int, grid: Size, size: Size) -> Box:
    """Top, bottom, left and right of a query's local grid in pixels of an image of ``size``."""
    edges: list[float] = []
    for i, centre in enumerate(maps.centre[0, query].tolist()):
        pixel = size[i] / maps.size[i]
        edges += [(centre - grid[i] // 2) * pixel, (centre + grid[i] // 2 + 1) * pixel]
    return edges[0], edges[1], edges[2], edges[3]


def _show(panel: Axes, image: np.ndarray, query: tuple[float, float], box: Box, window: Box) -> None:
    """The image within ``window``, the query and the frame of the local grid."""
    panel.imshow(image, extent=(0, image.shape[1], image.shape[0], 0), interpolation="nearest")
    top, bottom, left, right = box
    panel.add_patch(Rectangle((left, top), right - left, bottom - top, fill=False, color="#ff3030", linewidth=1))
    panel.plot(query[1], query[0], marker="+", color="#00e5ff", markersize=7, markeredgewidth=1.2, zorder=5)
    panel.set(xlim=window[2:], ylim=window[1::-1], xticks=[], yticks=[], facecolor="black")


def _overlay(panel: Axes, weights: np.ndarray, box: Box) -> None:
    top, bottom, left, right = box
    largest = float(weights.max())
    panel.imshow(weights, extent=(left, right, bottom, top), cmap=_COLOURS, vmin=0, vmax=largest, alpha=0.7, zorder=3)
