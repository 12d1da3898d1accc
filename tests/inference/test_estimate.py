"""The time estimate of a slow image, from a small part of it."""

import pytest
import torch

from clit_plugin.inference import apply, estimate
from clit_plugin.inference.apply import upscale_with_progress
from clit_plugin.inference.estimate import duration_text, estimate_seconds


class Timed:
    """Takes a second a thousand output pixels by the clock that it keeps, the first call ten times that."""

    head_reach = encoder = None

    def __init__(self, monkeypatch):
        self.now, self.calls, self.said = 0.0, [], []
        monkeypatch.setattr(estimate.time, "perf_counter", lambda: self.now)
        monkeypatch.setattr(apply, "say", self.said.append)

    def parameters(self):
        return iter([torch.zeros(1)])

    def upscale(self, lq, size, max_queries=None, progress=None):
        self.calls.append((tuple(lq.shape[-2:]), size, max_queries))
        self.now += size[0] * size[1] / 1000 * (10 if len(self.calls) == 1 else 1)
        return torch.zeros(1, 3, *size)


@pytest.fixture
def timed(monkeypatch):
    return Timed(monkeypatch)


@pytest.mark.parametrize(("lq", "size"), [((256, 256), (2048, 2048)), ((300, 201), (1500, 2010))])
def test_the_estimate_scales_the_time_of_a_part_to_the_whole(timed, lq, size):
    seconds = estimate_seconds(timed, torch.zeros(1, 3, *lq), size, max_queries=7)
    assert seconds == pytest.approx(size[0] * size[1] / 1000)
    (part, part_size, max_queries), second = timed.calls
    assert (part, part_size, max_queries) == second
    assert max_queries == 7
    assert part[0] * part[1] <= lq[0] * lq[1] / 64
    for i in (0, 1):
        assert part_size[i] / part[i] == pytest.approx(size[i] / lq[i], rel=0.02)


@pytest.mark.parametrize(("lq", "size"), [((1000, 1000), (1400, 1400)), ((100, 120), (3000, 3600))])
def test_small_images_and_outputs_are_not_estimated(timed, lq, size):
    assert estimate_seconds(timed, torch.zeros(1, 3, *lq), size) is None
    assert timed.calls == []


def test_the_estimated_time_of_a_slow_image_is_printed_first(timed):
    upscale_with_progress(timed, torch.zeros(3, 256, 256), (2048, 2048), label="a.png", name="a.png")
    assert timed.said == ["a.png: about 1 h 10 min"]


def test_no_time_is_printed_for_a_fast_image(timed):
    timed.upscale = lambda lq, size, max_queries=None, progress=None: torch.zeros(1, 3, *size)
    upscale_with_progress(timed, torch.zeros(3, 256, 256), (2048, 2048), label="a.png", name="a.png")
    assert timed.said == []


@pytest.mark.parametrize(("seconds", "text"), [(0.2, "1 s"), (59.4, "59 s"), (61, "1 min"), (7800, "2 h 10 min")])
def test_a_duration_is_printed_in_rounded_units(seconds, text):
    assert duration_text(seconds) == text
