"""Building CLIT: the paper's sizes, bounds of the arguments, options from YAML."""

import pytest
import torch
import yaml
from basicsr.archs import build_network
from small_clit import small

from clit_plugin.archs.clit_arch import CLIT
from clit_plugin.utils.errors import UserError


def head_parameters(**changes) -> int:
    """Parameters of the paper's net on an encoder of 64 channels, without the encoder."""
    with torch.device("meta"):
        net = CLIT(encoder={"type": "EDSRBaseline", "num_block": 1}, **changes)
    count = {name: sum(p.numel() for p in module.parameters()) for name, module in net.named_children()}
    return sum(count.values()) - count["encoder"]


# conv_feat and the bias are shared; a branch has three convolutions and the decoder.
SHARED = (64 * 9 * 256 + 256) + (64 * 8 + 8)
BRANCH = 3 * (256 * 9 * 256 + 256) + ((49 * 256 + 2) * 256 + 256) + 3 * (256 * 256 + 256) + (256 * 3 + 3)


@pytest.mark.parametrize(("branches", "parameters"), [(1, 5_328_651), (3, 15_689_489)])
def test_the_defaults_are_the_papers_sizes(branches, parameters):
    assert SHARED + branches * BRANCH == parameters
    assert head_parameters(num_branches=branches) == parameters


def test_variants_have_the_parameters_that_their_parts_need():
    whole = head_parameters()
    assert head_parameters(cell_decoding=False) == whole - 2 * 256
    assert head_parameters(positional_encoding="eq6") == whole - (64 - 40) * 8
    assert head_parameters(positional_encoding="none") == whole - (64 - 2) * 8
    assert head_parameters(local_ensemble=True) == whole
    without = whole - (64 * 8 + 8) - 2 * (256 * 9 * 256 + 256) - 48 * 256 * 256
    assert head_parameters(local_attention=False) == without


@pytest.mark.parametrize("name", ["released", "eq6", "none"])
def test_the_frequencies_are_not_in_the_state_dict(name):
    net = small(positional_encoding=name)
    assert not [key for key in net.state_dict() if "frequencies" in key]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"local_grid": 4}, "local_grid: expected an odd number"),
        ({"local_grid": 0}, "local_grid: expected an odd number"),
        ({"local_grid": -3}, "local_grid: expected an odd number"),
        ({"local_grid": [3, 4]}, "local_grid: expected an odd number"),
        ({"local_grid": [3, 3, 3]}, "local_grid: expected an odd number"),
        ({"num_branches": 0}, "num_branches: expected at least 1, got 0"),
        ({"dim": 7}, r"dim: expected a positive multiple of num_heads \(2\), got 7"),
        ({"dim": 0}, "dim: expected a positive multiple"),
        ({"num_heads": 0}, "dim: expected a positive multiple"),
        ({"decoder_hidden": [8, 0]}, r"decoder_hidden: expected positive widths, got \[8, 0\]"),
        ({"positional_encoding": "fourier"}, "positional_encoding: expected one of .* got 'fourier'"),
    ],
)
def test_arguments_outside_their_bounds_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        small(**arguments)


def test_an_unknown_argument_is_refused_by_name():
    with pytest.raises(TypeError, match="num_branch'"):
        small(num_branch=2)


def test_an_unknown_encoder_is_refused_with_the_registered_ones():
    with pytest.raises(UserError, match="no type named 'EDSRBase'; there are .*EDSRBaseline"):
        small(encoder={"type": "EDSRBase"})


def test_clit_is_built_from_yaml_by_basicsr():
    options = yaml.safe_load(
        """
        type: CLIT
        encoder: {type: EDSRBaseline, num_feat: 5, num_block: 1}
        num_branches: 2
        dim: 6
        num_heads: 2
        local_grid: [3, 5]
        decoder_hidden: [7, 5]
        positional_encoding: eq6
        local_attention: true
        cell_decoding: false
        local_ensemble: true
        discount: 0.5
        """
    )
    net = build_network(options)
    assert isinstance(net, CLIT)
    assert (net.num_branches, net.local_grid, net.discount) == (2, (3, 5), 0.5)
    assert net.upscale(torch.rand(1, 3, 2, 3), (9, 13)).shape == (1, 3, 9, 13)
    assert options["encoder"]["type"] == "EDSRBaseline"  # the options can be used again
