"""The plots of a report: no two systems look alike, and a long legend stays outside the axes and inside the picture."""

import pytest

from clit_plugin.evaluation.report.paper import load_paper
from clit_plugin.evaluation.report.plots import draw_family, plot_families
from clit_plugin.evaluation.report.systems import System
from clit_plugin.evaluation.results import ImageScore, SetResult
from clit_plugin.metrics.protocol import PROTOCOLS


def result(scale: float, psnr: float, *, images: int = 1) -> SetResult:
    """A result on Set5."""
    image = {"lq_size": (8, 8), "gt_size": (16, 16), "scale": (scale, scale), "shave": 2, "metrics": {"psnr": psnr}}
    return SetResult(
        fingerprint="0" * 12,
        name="run",
        set=f"Set5_x{scale:g}",
        family="Set5",
        scale=(scale, scale),
        degradation="pil",
        protocol=PROTOCOLS["benchmark"],
        data_sha256="",
        weights=None,
        options={"network_g": {"type": "LIIF"}, "metrics": {"psnr": {"type": "psnr_float"}}},
        versions={},
        metrics={"psnr": psnr},
        finished="2026-01-01T00:00:00+00:00",
        images=[ImageScore(name=str(i), **image) for i in range(images)],
    )


def systems(count: int, *, name: str = "system {}", images: int = 1) -> list[System]:
    """RDN-LIIF so many times, at x2 and x3."""
    return [
        System(
            name.format(i),
            ("LIIF", "RDN"),
            1,
            {("Set5", scale): result(scale, 40 - 2 * scale - 0.1 * i, images=images) for scale in (2.0, 3.0)},
        )
        for i in range(count)
    ]


def boxes(canvas):
    """The legend below the axes, the axes with their labels, and the whole picture, in pixels."""
    canvas.draw_without_rendering()
    (legend,) = canvas.legends
    return legend.get_window_extent(), canvas.axes[0].get_tightbbox(), canvas.bbox


@pytest.mark.parametrize("count", [11, 21, 45])
def test_every_system_has_its_own_line_style(count):
    lines = draw_family("Set5", systems(count), []).axes[0].get_lines()
    looks = {(line.get_color(), line.get_linestyle(), line.get_marker()) for line in lines}
    assert len(lines) == len(looks) == count
    assert not any(line.get_linestyle() == "--" for line in lines)  # which is the paper's


@pytest.mark.parametrize("name", ["system {}", "a system with a longer name, " * 3 + "{}"])
@pytest.mark.parametrize("count", [7, 21])
def test_a_long_legend_is_below_the_axes_and_inside_the_picture(count, name):
    canvas = draw_family("Set5", systems(count, name=name), [])
    legend, axes, whole = boxes(canvas)
    assert canvas.axes[0].get_legend() is None
    assert legend.y1 <= axes.y0 and legend.y0 >= 0
    assert legend.x0 >= 0 and legend.x1 <= whole.x1 + 1
    assert axes.height > 300  # of 380: the legend has space of its own


def test_a_short_legend_is_inside_the_axes():
    canvas = draw_family("Set5", systems(3), [])
    assert canvas.legends == [] and len(canvas.axes[0].get_legend().get_texts()) == 3


def test_the_papers_figures_are_drawn_once_for_several_runs_of_a_method():
    _, tables = load_paper()
    lines = draw_family("Set5", systems(3, images=5), tables).axes[0].get_lines()
    dashed = [line for line in lines if line.get_linestyle() == "--"]
    assert [line.get_label() for line in dashed] == ["RDN-LIIF (paper)"]
    assert dashed[0].get_ydata()[0] == 38.17


def test_a_plot_is_reproducible_to_the_byte():
    first, second = (plot_families(systems(12), [])[0].content for _ in range(2))
    assert first == second
