import pytest

from clit_plugin.utils.byte_sizes import byte_size


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0.0 kB"),
        (999, "1.0 kB"),
        (123_456, "123.5 kB"),
        (999_999, "1000.0 kB"),
        (10**6, "1.0 MB"),
        (3.6e9, "3.6 GB"),
        (36 * 10**12, "36000.0 GB"),
    ],
)
def test_a_byte_size_has_the_largest_unit_that_fits(count, text):
    assert byte_size(count) == text
