import pytest

from clit_plugin.metrics.protocol import EvaluationProtocol
from clit_plugin.utils.errors import UserError


@pytest.mark.parametrize(
    ("scale", "benchmark", "div2k"),
    [(1, 1, 7), (2, 2, 8), (2.0, 2, 8), (2.001, 3, 9), (3.4, 4, 10), (3.5, 4, 10), (4, 4, 10), (30, 30, 36)],
)
def test_div2k_shaves_the_scale_plus_6(scale, benchmark, div2k):
    assert EvaluationProtocol.named("benchmark").shave(scale) == benchmark
    assert EvaluationProtocol.named("div2k").shave(scale) == div2k


def test_rounding_errors_of_the_scale_do_not_shave_another_pixel():
    assert EvaluationProtocol.named("benchmark").shave(0.1 * 3 * 10) == 3  # 3.0000000000000004
    assert EvaluationProtocol.named("benchmark").shave(3 - 1e-12) == 3


def test_a_fractional_scale_shaves_a_whole_number_of_pixels():
    assert type(EvaluationProtocol.named("div2k").shave(2.5)) is int


def test_benchmarks_compare_luma_and_div2k_all_colours():
    assert EvaluationProtocol.named("benchmark").metric_options(3.4) == {"crop_border": 4, "test_y_channel": True}
    assert EvaluationProtocol.named("div2k").metric_options(3.4) == {"crop_border": 10, "test_y_channel": False}


def test_a_protocol_prints_what_it_compares():
    assert str(EvaluationProtocol.named("benchmark")) == "benchmark: Y, shave scale"
    assert str(EvaluationProtocol.named("div2k")) == "div2k: RGB, shave scale + 6"


def test_an_unknown_protocol_is_refused_with_the_known_ones():
    with pytest.raises(UserError, match="expected one of div2k, benchmark, got 'set5'"):
        EvaluationProtocol.named("set5")
