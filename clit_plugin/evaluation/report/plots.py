"""PSNR against scale, one plot per set."""

import io
import math
import textwrap
from collections.abc import Sequence
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas
from matplotlib.legend import Legend
from matplotlib.ticker import NullLocator

from clit_plugin.evaluation.report.document import Plot
from clit_plugin.evaluation.report.paper import PaperTable
from clit_plugin.evaluation.report.systems import System, deviation, psnr_of

_SIZE = (6.4, 3.8)  # inches, without a legend below the axes
_COLOURS = 10
# Every ten systems the colours start again, with the next line style and marker. Dashes and squares are the paper's.
_STYLES = ("-", "-.", ":")
_MARKERS = ("o", "^", "D", "v", "P", "X", "*")
_ENTRIES_INSIDE = 6  # a longer legend goes below the axes
_LEGEND_CHARACTERS = 80  # per line


def plot_families(systems: Sequence[System], tables: Sequence[PaperTable]) -> list[Plot]:
    """A plot for every family of sets with two scales or more: our systems, and dashed the paper's figures."""
    places = {place for system in systems for place in system.results}
    families = sorted({family for family, _ in places if sum(other == family for other, _ in places) > 1})
    order = [family for table in tables for family in table.images]
    families.sort(key=lambda family: (order.index(family) if family in order else len(order), family))
    return [
        Plot(
            f"psnr_{family}",
            _svg(draw_family(family, systems, tables), family).encode(),
            f"PSNR against scale on {family}",
        )
        for family in families
    ]


def draw_family(family: str, systems: Sequence[System], tables: Sequence[PaperTable]) -> Canvas:
    """The plot of one family. A system looks the same in every plot, and no two systems look alike."""
    canvas = Canvas(figsize=_SIZE, layout="constrained")
    axes = canvas.subplots()
    ticks: set[float] = set()
    drawn: set[tuple[str, str]] = set()  # the paper's rows: several runs may be of one method
    for i, system in enumerate(systems):
        own = {scale: psnr_of(one) for (name, scale), one in sorted(system.results.items()) if name == family}
        points = {scale: value for scale, value in own.items() if value is not None and math.isfinite(value)}
        if not points:
            continue
        ticks |= set(points)
        style = line_style(i)
        axes.plot(list(points), list(points.values()), markersize=4, label=_label(system.name), **style)
        for table in tables:
            method, paper = _paper_line(system, table, family)
            if paper and (table.name, method) not in drawn:
                drawn.add((table.name, method))
                dashed = {"color": style["color"], "linestyle": "--", "marker": "s", "fillstyle": "none"}
                axes.plot(
                    list(paper), list(paper.values()), **dashed, markersize=6, alpha=0.7, label=f"{method} (paper)"
                )
    axes.set(xlabel="scale", ylabel="PSNR (dB)", title=_plain(family), xscale="log")
    axes.set_xticks(_apart(sorted(ticks)), labels=[f"×{tick:g}" for tick in _apart(sorted(ticks))])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.grid(alpha=0.3)
    _add_legend(canvas, axes)
    return canvas


def line_style(number: int) -> dict[str, Any]:
    """Colour, line style and marker of a system, the first one's number being 0; 210 differ."""
    turn, colour = divmod(number, _COLOURS)
    return {
        "color": f"C{colour}",
        "linestyle": _STYLES[turn % len(_STYLES)],
        "marker": _MARKERS[turn % len(_MARKERS)],
    }


def _add_legend(canvas: Canvas, axes: Axes) -> None:
    """A short legend goes inside the axes, a long one below them, where the canvas grows by its height."""
    handles, _ = axes.get_legend_handles_labels()
    if len(handles) <= _ENTRIES_INSIDE:
        axes.legend(fontsize=8)
        return
    legend = _widest_legend(canvas, handles)
    canvas.set_figheight(_SIZE[1] + legend.get_window_extent().height / canvas.dpi)


def _widest_legend(canvas: Canvas, handles: Sequence[Any]) -> Legend:
    """A legend below the axes with as many columns as fit."""
    for columns in (4, 3, 2, 1):
        legend = canvas.legend(handles=handles, loc="outside lower center", ncols=columns, fontsize=8)
        if columns == 1 or legend.get_window_extent().width <= canvas.bbox.width:
            break
        legend.remove()
    return legend


def _paper_line(system: System, table: PaperTable, family: str) -> tuple[str, dict[float, float]]:
    """The paper's name and figures for this system; no figures where ours are of other images."""
    row = next((row for row in table.rows if system.is_method(row)), None)
    if row is None or family not in table.images:
        return "", {}
    own = [(c, system.results[c]) for c in table.columns if c[0] == family and c in system.results]
    if not own or any("images" in (deviation(result, table, column) or "") for column, result in own):
        return "", {}
    return row.method, {scale: value for (name, scale), value in row.psnr.items() if name == family}


def _apart(ticks: Sequence[float]) -> list[float]:
    """Those of the scales whose labels do not overlap."""
    kept: list[float] = []
    span = (ticks[-1] / ticks[0]) ** (1 / 14) if ticks else 1.0
    for tick in ticks:
        if not kept or tick >= kept[-1] * span:
            kept.append(tick)
    return kept


def _label(name: str) -> str:
    return _plain("\n".join(textwrap.wrap(name, _LEGEND_CHARACTERS)))


def _plain(text: str) -> str:
    """Text that matplotlib does not take for a formula."""
    return text.replace("$", r"\$")


def _svg(canvas: Canvas, salt: str) -> str:
    target = io.StringIO()
    with matplotlib.rc_context({"svg.hashsalt": salt}):
        canvas.savefig(target, format="svg", metadata={"Date": None})
    return target.getvalue()
