"""What a network costs, against sums by hand."""

import pytest

from clit_plugin.archs.build import build_network
from clit_plugin.evaluation.multiply_adds import count_multiply_adds, count_parameters

PIXELS = 1280 * 720
ENCODER = {"type": "EDSRBaseline", "num_feat": 8, "num_block": 1}
LIIF = {"type": "LIIF", "encoder": ENCODER, "decoder_hidden": [8]}


@pytest.mark.parametrize(("scale", "lr_pixels"), [((4, 4), PIXELS / 16), ((2, 3.5), PIXELS / 7)])
def test_liifs_multiply_adds_are_those_of_its_layers(scale, lr_pixels):
    # 3x3 convolutions: 3 to 8, two in the block, one behind it.
    encoder = 9 * (3 * 8 + 3 * 8 * 8)
    # Four latents of 72 unfolded values, two offsets and two cell sides, through 8 hidden values to 3 colours.
    query = 4 * ((72 + 4) * 8 + 8 * 3)
    assert count_multiply_adds(LIIF, scale) == pytest.approx(encoder * lr_pixels + query * PIXELS)


def test_a_second_branch_adds_multiply_adds_only_at_scales_that_use_it():
    clit = {"type": "CLIT", "encoder": ENCODER, "dim": 8, "num_heads": 2, "local_grid": 3, "decoder_hidden": [8]}
    one, two = clit, {**clit, "num_branches": 2}
    assert count_multiply_adds(one, (4, 4)) == count_multiply_adds(two, (4, 4))
    assert count_multiply_adds(two, (8, 8)) > 1.5 * count_multiply_adds(one, (8, 8))


def test_parameters_are_counted_and_bicubic_has_none():
    assert count_parameters(LIIF) == sum(value.numel() for value in build_network(LIIF).state_dict().values())
    assert count_parameters({"type": "Bicubic"}) == 0
    assert count_multiply_adds({"type": "Bicubic"}, (2, 2)) is None
