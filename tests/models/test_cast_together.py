"""Weights cast all at once, against autocast's own casts."""

import pytest
import torch

from clit_plugin.archs.clit_arch import CLIT
from clit_plugin.fast.kernel_costs import count_costs
from clit_plugin.models.cast_together import cast_together


def network() -> CLIT:
    torch.manual_seed(0)
    encoder = {"type": "EDSRBaseline", "num_feat": 8, "num_block": 2}
    return CLIT(encoder=encoder, dim=8, num_heads=2, local_grid=3, decoder_hidden=[16, 16], num_branches=2)


def gradients(net: CLIT, together: bool) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    lq, coord = torch.rand(2, 3, 6, 7, generator=generator), torch.rand(2, 31, 2, generator=generator) * 2 - 1
    net.zero_grad()
    with torch.autocast("cpu", torch.bfloat16), cast_together(net, torch.bfloat16 if together else None):
        output = net(lq, coord, torch.full((2, 2), 0.1), [(11, 13)])
    output.float().square().mean().backward()
    return {name: p.grad.clone() for name, p in net.named_parameters() if name != "pos_bias.bias"}


def test_gradients_are_those_of_autocast_and_float32():
    net = network()
    expected, actual = gradients(net, together=False), gradients(net, together=True)
    for name, value in expected.items():
        assert actual[name].dtype == torch.float32
        torch.testing.assert_close(actual[name], value, rtol=0, atol=0.02 * float(value.abs().max()), msg=name)


def test_gradients_of_the_encoder_are_bit_identical_to_autocasts():
    net = network()
    x, results = torch.rand(2, 3, 6, 7), []
    for dtype in (None, torch.bfloat16):
        net.zero_grad()
        with torch.autocast("cpu", torch.bfloat16), cast_together(net, dtype):
            features = net.features(x)
        features.float().square().mean().backward()
        results.append([p.grad for p in net.encoder.parameters()])
    for expected, actual in zip(*results, strict=True):
        assert torch.equal(actual, expected)


def test_the_original_weights_are_restored_after_an_error():
    net = network()
    before = dict(net.named_parameters())
    with pytest.raises(KeyError), cast_together(net, torch.bfloat16):
        assert net.conv_feat.weight.dtype == torch.bfloat16
        raise KeyError
    assert all(p is before[name] for name, p in net.named_parameters())


def test_an_unused_layer_has_no_gradient():
    net = network()
    with torch.autocast("cpu", torch.bfloat16), cast_together(net, torch.bfloat16):
        net.features(torch.rand(1, 3, 6, 7)).float().sum().backward()
    assert net.branches[0].to_q.weight.grad is None
    assert net.conv_feat.weight.grad is not None


def test_a_few_kernels_cast_all_weights():
    net = network().to("meta")
    with count_costs(torch.bfloat16) as costs, cast_together(net, torch.bfloat16):
        net.features(torch.empty(2, 3, 6, 7, device="meta")).float().sum().backward()
    weights = sum(p.numel() for p in [*net.encoder.parameters(), *net.conv_feat.parameters()])
    copies = costs.kernels["_foreach_copy_"]
    assert copies.calls == 2
    assert costs.kernels["_to_copy"].calls < 8
    assert copies.bytes > 2 * 6 * weights
