"""PSNR against scale, one drawing a set."""

import io
import math
from collections.abc import Sequence

import matplotlib
from matplotlib.figure import Figure as Canvas
from matplotlib.ticker import NullLocator

from clit_plugin.evaluation.report.document import Figure
from clit_plugin.evaluation.report.paper import PaperTable
from clit_plugin.evaluation.report.systems import System, deviation, psnr_of


def plot_families(systems: Sequence[System], tables: Sequence[PaperTable]) -> list[Figure]:
    """A drawing for every family of sets with two scales or more: our systems, and dashed the paper's figures."""
    places = {place for system in systems for place in system.results}
    families = sorted({family for family, _ in places if sum(other == family for other, _ in places) > 1})
    order = [family for table in tables for family in table.images]
    families.sort(key=lambda family: (order.index(family) if family in order else len(order), family))
    return [_plot(family, systems, tables) for family in families]


def _plot(family: str, systems: Sequence[System], tables: Sequence[PaperTable]) -> Figure:
    canvas = Canvas(figsize=(6.4, 3.8), layout="constrained")
    axes = canvas.subplots()
    ticks: set[float] = set()
    for i, system in enumerate(systems):
        own = {scale: psnr_of(one) for (name, scale), one in sorted(system.results.items()) if name == family}
        points = {scale: value for scale, value in own.items() if value is not None and math.isfinite(value)}
        if not points:
            continue
        colour = f"C{i % 10}"
        axes.plot(list(points), list(points.values()), "o-", color=colour, markersize=4, label=_plain(system.name))
        ticks |= set(points)
        for table in tables:
            paper = _paper_line(system, table, family)
            if paper:
                method = next(row.method for row in table.rows if system.is_method(row))
                axes.plot(
                    list(paper), list(paper.values()), "s--", color=colour, markersize=6, fillstyle="none", alpha=0.7,
                    label=f"{method} (paper)",
                )  # fmt: skip
    axes.set(xlabel="scale", ylabel="PSNR (dB)", title=_plain(family), xscale="log")
    axes.set_xticks(_apart(sorted(ticks)), labels=[f"×{tick:g}" for tick in _apart(sorted(ticks))])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)
    return Figure(f"psnr_{family}", _svg(canvas, family), f"PSNR against scale on {family}")


def _paper_line(system: System, table: PaperTable, family: str) -> dict[float, float]:
    """The paper's figures of this system, unless ours are of other images."""
    row = next((row for row in table.rows if system.is_method(row)), None)
    if row is None or family not in table.images:
        return {}
    own = [(c, system.results[c]) for c in table.columns if c[0] == family and c in system.results]
    if not own or any("images" in (deviation(result, table, column) or "") for column, result in own):
        return {}
    return {scale: value for (name, scale), value in row.psnr.items() if name == family}


def _apart(ticks: Sequence[float]) -> list[float]:
    """Those of the scales that leave room for each other's labels."""
    kept: list[float] = []
    span = (ticks[-1] / ticks[0]) ** (1 / 14) if ticks else 1.0
    for tick in ticks:
        if not kept or tick >= kept[-1] * span:
            kept.append(tick)
    return kept


def _plain(text: str) -> str:
    """Text that matplotlib does not take for a formula."""
    return text.replace("$", r"\$")


def _svg(canvas: Canvas, salt: str) -> str:
    target = io.StringIO()
    with matplotlib.rc_context({"svg.hashsalt": salt}):
        canvas.savefig(target, format="svg", metadata={"Date": None})
    return target.getvalue()
