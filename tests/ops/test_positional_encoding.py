import math

import pytest
import torch

from clit_plugin.ops.positional_encoding import (
    POSITIONAL_ENCODINGS,
    encoding_dim,
    encoding_frequencies,
    positional_encoding,
)


def test_equation_6_has_the_first_ten_powers_of_2():
    assert encoding_frequencies("eq6").tolist() == [1, 2, 4, 8, 16, 32, 64, 128, 256, 512]


def test_the_released_code_has_16_frequencies_from_0_to_1023():
    frequencies = encoding_frequencies("released").tolist()
    assert frequencies == pytest.approx([2 ** (10 * j / 15) - 1 for j in range(16)], rel=1e-6)
    assert frequencies[0] == 0
    assert frequencies[-1] == 1023


def test_no_encoding_has_no_frequency():
    assert encoding_frequencies("none").tolist() == []


def test_an_unknown_encoding_is_refused_with_the_known_ones():
    with pytest.raises(ValueError, match="one of released, eq6, none, got 'eq7'"):
        encoding_frequencies("eq7")


def test_sines_come_before_cosines_and_y_before_x():
    y, x = 0.5, -1.25
    encoded = positional_encoding(torch.tensor([y, x]), torch.tensor([1.0, 3.0]))
    phases = [y, 3 * y, x, 3 * x]
    expected = [math.sin(p) for p in phases] + [math.cos(p) for p in phases]
    torch.testing.assert_close(encoded, torch.tensor(expected))


def test_without_frequencies_the_coordinates_themselves_are_returned():
    delta = torch.rand(2, 3, 5, 2)
    assert torch.equal(positional_encoding(delta, torch.empty(0)), delta)


def test_frequency_0_gives_constant_features():
    encoded = positional_encoding(torch.rand(4, 2), torch.zeros(1))
    assert encoded.tolist() == [[0, 0, 1, 1]] * 4


@pytest.mark.parametrize(("name", "dim"), [("released", 64), ("eq6", 40), ("none", 2)])
def test_the_dimension_is_that_of_the_encoding(name, dim):
    frequencies = encoding_frequencies(name)
    assert encoding_dim(frequencies) == dim
    assert positional_encoding(torch.rand(2, 3, 5, 2), frequencies).shape == (2, 3, 5, dim)


@pytest.mark.parametrize("name", POSITIONAL_ENCODINGS)
def test_each_query_is_encoded_independently(name):
    delta, frequencies = torch.rand(3, 7, 2) * 8 - 4, encoding_frequencies(name)
    encoded = positional_encoding(delta, frequencies)
    torch.testing.assert_close(positional_encoding(delta[2, 4], frequencies), encoded[2, 4])


def test_the_encoding_has_the_dtype_of_the_coordinates():
    encoded = positional_encoding(torch.rand(3, 2, dtype=torch.float64), encoding_frequencies("eq6").double())
    assert encoded.dtype == torch.float64
