"""Means by group against a plain loop, the scale of a batch, and the clock, which excludes pauses."""

import math

import numpy as np
import pytest
import torch

from clit_plugin.models import loss_curves
from clit_plugin.models.loss_curves import LossCurves, Pace, total_scale

CPU = torch.device("cpu")


def add(curves, loss, scale, branches=1):
    curves.add(torch.tensor(loss), scale=torch.tensor(scale), branches=branches)


def smoothed(losses, window):
    """Weighted mean, where a step's weight shrinks by 1 - 1 / window with every later step of its group."""
    weights = [(1 - 1 / window) ** age for age in range(len(losses))][::-1]
    return np.average(losses, weights=weights)


def test_l_pix_is_the_mean_since_the_last_read():
    curves = LossCurves(num_branches=1, device=CPU)
    add(curves, 1.0, 3.0)
    add(curves, 4.0, 3.0)
    assert curves.read()["l_pix"] == 2.5
    add(curves, 7.0, 3.0)
    assert curves.read()["l_pix"] == 7.0


def test_scale_groups_are_smoothed_over_their_own_steps_and_across_reads():
    rng = np.random.default_rng(0)
    curves = LossCurves(num_branches=2, device=CPU, window=5)
    expected = {"l_branch_1": [], "l_branch_2": [], "l_x1-2": [], "l_x2-4": [], "l_x4-8": [], "l_x8-16": []}
    for step in range(60):
        loss, branches = float(rng.uniform(0, 1)), 1 + step % 2
        scale = float(rng.uniform(1, 16))
        add(curves, loss, scale, branches)
        expected[f"l_branch_{branches}"].append(loss)
        expected[f"l_x{2 ** int(math.log2(scale))}-{2 ** (1 + int(math.log2(scale)))}"].append(loss)
        if step % 7 == 0:
            curves.read()
    means = curves.read()
    assert means.keys() == {"l_pix", *expected}
    for name, losses in expected.items():
        assert means[name] == pytest.approx(smoothed(losses, 5), rel=1e-5), name


@pytest.mark.parametrize(("scale", "name"), [(1.0, "x1-2"), (1.99, "x1-2"), (2.0, "x2-4"), (16.0, "x16_up")])
def test_a_scale_range_includes_its_lower_bound(scale, name):
    curves = LossCurves(num_branches=1, device=CPU)
    add(curves, 1.0, scale)
    assert set(curves.read()) == {"l_pix", f"l_{name}"}


def test_a_non_finite_loss_is_reported_once_and_left_out_of_the_groups():
    curves = LossCurves(num_branches=2, device=CPU)
    add(curves, 1.0, 3.0)
    add(curves, math.nan, 3.0)
    assert math.isnan(curves.read()["l_pix"])
    add(curves, 1.0, 3.0)
    assert curves.read() == pytest.approx({"l_pix": 1.0, "l_branch_1": 1.0, "l_x2-4": 1.0})


@pytest.mark.parametrize(("size", "scale"), [((96, 96), 2.0), ((118, 118), 118 / 48), ((96, 72), 3**0.5)])
def test_the_total_scale_follows_from_the_cells(size, scale):
    cell = torch.tensor([[2 / size[0], 2 / size[1]]] * 3)
    torch.testing.assert_close(total_scale(torch.zeros(3, 3, 48, 48), cell), torch.tensor(scale))


def test_pauses_do_not_count_towards_the_pace(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(loss_curves.time, "perf_counter", lambda: now[0])
    pace = Pace()
    assert math.isnan(pace.read())
    pace = Pace()
    for _ in range(4):
        pace.step()
        now[0] += 0.5
    with pace.paused():
        now[0] += 60
    assert pace.read() == 0.5
    pace.step()
    now[0] += 3
    assert pace.read() == 3
