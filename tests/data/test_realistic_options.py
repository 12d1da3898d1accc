import pytest

from clit_plugin.data.realistic_options import parse_realistic
from clit_plugin.utils.errors import UserError


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"type": "real"}, r"type: expected one of realistic, got 'real'"),
        ({"blur_sigmas": [1, 2]}, r"blur_sigmas: unknown key; did you mean blur_sigma\?"),
        ({"seed": -1}, r"seed: expected 0 to 2\^32 - 1, got -1"),
        ({"clean_prob": 1.1}, r"clean_prob: expected 0 to 1, got 1\.1"),
        ({"jpeg_prob": -0.1}, r"jpeg_prob: expected 0 to 1"),
        ({"gray_noise_prob": "0.4"}, r"gray_noise_prob: expected a number"),
        ({"blur_sigma": [0, 1]}, r"blur_sigma: expected \[min, max\] within 0\.01 to 10, got \[0\.0, 1\.0\]"),
        ({"blur_sigma": [2, 1]}, r"blur_sigma: expected \[min, max\]"),
        ({"blur_sigma": [1]}, r"blur_sigma: expected a list of 2"),
        ({"blur_sigma": 1}, r"blur_sigma: expected a list"),
        ({"noise_range": [0, 256]}, r"noise_range: expected \[min, max\] within 0 to 255"),
        ({"poisson_scale_range": [-1, 1]}, r"poisson_scale_range: expected \[min, max\] within 0 to 10"),
        ({"jpeg_range": [0, 90]}, r"jpeg_range: expected \[min, max\] within 1 to 100, got \[0, 90\]"),
        ({"jpeg_range": [60, 101]}, r"jpeg_range: expected \[min, max\] within 1 to 100"),
        ({"jpeg_range": [60.5, 90]}, r"jpeg_range\[0\]: expected a whole number"),
        ({"betag_range": [1.5, 4]}, r"betag_range: expected min <= 1 <= max, got \[1\.5, 4\.0\]"),
        ({"betap_range": [0.5, 0.9]}, r"betap_range: expected min <= 1 <= max"),
        ({"kernel_list": ["iso", "sinc"]}, r"kernel_list\[1\]: expected one of iso, .*got 'sinc'"),
        ({"kernel_list": [], "kernel_prob": []}, r"kernel_list: expected at least one"),
        ({"kernel_list": ["iso"]}, r"kernel_prob: expected one number per entry of kernel_list, 1, got 6"),
        ({"kernel_list": ["iso"], "kernel_prob": [0]}, r"kernel_prob: expected numbers of at least 0, not all 0"),
        ({"kernel_list": ["iso", "aniso"], "kernel_prob": [2, -1]}, r"kernel_prob: expected numbers of at least 0"),
        ({"resize_modes": []}, r"resize_modes: expected at least one"),
        ({"resize_modes": ["nearest"]}, r"resize_modes\[0\]: expected one of area"),
    ],
)
def test_a_bad_option_is_refused_with_its_key(changes, message):
    with pytest.raises(UserError, match=r"datasets\.tiny\.degradation\." + message):
        parse_realistic({"type": "realistic", **changes}, "datasets.tiny.degradation")


def test_the_ends_of_the_allowed_ranges_are_accepted():
    ranges = {"blur_sigma": [0.01, 10], "noise_range": [0, 255], "jpeg_range": [1, 100]}
    parsed = parse_realistic({"type": "realistic", **ranges, "clean_prob": 0, "blur_prob": 1, "seed": 2**32 - 1}, "x")
    assert (parsed.blur_sigma, parsed.jpeg_range, parsed.seed) == ([0.01, 10.0], [1, 100], 2**32 - 1)
