import pytest
import torch
from torch import nn

from clit_plugin.archs.decoder import Decoder


@pytest.mark.parametrize("hidden", [[], [5], [5, 4]])
def test_first_and_rest_compose_to_the_whole_decoder(hidden):
    decoder, x = Decoder(6, hidden, activation=nn.GELU), torch.rand(2, 7, 6)
    expected = x
    for i in range(len(hidden)):
        expected = nn.functional.gelu(nn.functional.linear(expected, decoder[2 * i].weight, decoder[2 * i].bias))
    expected = nn.functional.linear(expected, decoder[-1].weight, decoder[-1].bias)
    torch.testing.assert_close(decoder(x), expected)
    torch.testing.assert_close(decoder.rest(decoder.first(x)), expected)
    assert decoder.last is decoder[-1]


def test_the_decoders_parameters_are_named_as_in_a_sequential():
    names = ["0.weight", "0.bias", "2.weight", "2.bias", "4.weight", "4.bias"]
    assert list(Decoder(6, [5, 4]).state_dict()) == names


def test_a_width_below_1_is_refused():
    with pytest.raises(ValueError, match=r"decoder_hidden: expected positive widths, got \[5, 0\]"):
        Decoder(6, [5, 0])
