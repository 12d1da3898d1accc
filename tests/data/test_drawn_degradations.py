"""Degradations drawn at random from ``degradation: {type: realistic, ...}``."""

import numpy as np
import pytest

from clit_plugin.data.realistic_degradation import Degradation, draw_degradation
from clit_plugin.data.realistic_options import parse_realistic


def draw(count: int = 400, **changes) -> list[Degradation]:
    options = parse_realistic({"type": "realistic", **changes}, "degradation")
    return [draw_degradation(options, np.random.default_rng(i)) for i in range(count)]


def noise(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


def test_draws_stay_within_their_ranges_and_probabilities():
    drawn = draw(2000, clean_prob=0.25, blur_sigma=[0.5, 1.0], jpeg_range=[70, 72], noise_range=[2, 3])
    degraded = [d for d in drawn if d != Degradation()]
    assert len(degraded) / 2000 == pytest.approx(0.75, abs=0.04)
    assert {d.quality for d in degraded} == {None, 70, 71, 72}
    sigmas = [sigma for d in degraded if d.sigma for sigma in d.sigma]
    assert 0.5 <= min(sigmas) < 0.51 and 0.99 < max(sigmas) <= 1.0
    levels = [d.gaussian for d in degraded if d.gaussian is not None]
    assert 2 <= min(levels) < 2.01 and 2.99 < max(levels) <= 3
    probabilities = {"sigma": 0.8, "gaussian": 0.5, "poisson": 0.3, "quality": 0.9}
    for name, probability in probabilities.items():
        share = sum(getattr(d, name) is not None for d in degraded) / len(degraded)
        assert share == pytest.approx(probability, abs=0.05), name
    assert {d.resize for d in degraded} == {"area", "bilinear", "bicubic", "lanczos"}
    assert sum(d.kernel == "iso" for d in degraded) / len(degraded) == pytest.approx(0.45, abs=0.05)


def test_a_kernel_of_probability_0_is_never_drawn():
    drawn = draw(kernel_list=["iso", "aniso", "plateau_iso"], kernel_prob=[0, 3, 0])
    assert {d.kernel for d in drawn if d.sigma is not None} == {"aniso"}


def test_changing_one_option_does_not_change_other_draws():
    for d, other in zip(draw(), draw(gaussian_noise_prob=0, jpeg_range=[10, 20]), strict=True):
        assert (d.sigma, d.kernel, d.resize, d.poisson) == (other.sigma, other.kernel, other.resize, other.poisson)


def test_a_range_of_one_value_always_draws_that_value():
    fixed = {"clean_prob": 0, "blur_prob": 1, "blur_sigma": [1, 1], "betag_range": [1, 1], "betap_range": [1, 1]}
    drawn = draw(20, **fixed, gaussian_noise_prob=1, noise_range=[4, 4], jpeg_prob=1, jpeg_range=[75, 75])
    assert {(d.sigma, d.gaussian, d.quality) for d in drawn} == {((1.0, 1.0), 4.0, 75)}
    for d in drawn:
        assert d.reduce(noise(20, 30), (7, 11)).shape == (7, 11, 3)


@pytest.mark.parametrize(("size", "out"), [((37, 53), (11, 17)), ((41, 29), (40, 13)), ((5, 3), (1, 1))])
def test_every_draw_can_be_applied_to_any_size(size, out):
    for d in draw(30, clean_prob=0):
        lq = d.reduce(noise(*size), out)
        assert lq.shape == (*out, 3) and lq.dtype == np.uint8
