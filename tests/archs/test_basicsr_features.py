import copy

import numpy as np
import pytest
import torch
from basicsr.utils.registry import ARCH_REGISTRY
from torch import nn

from clit_plugin.archs.encoders import build_encoder

RRDB = {"type": "RRDBNet", "num_in_ch": 3, "num_out_ch": 3, "scale": 4, "num_feat": 6, "num_block": 1, "num_grow_ch": 4}
SWINIR = {"type": "SwinIR", "embed_dim": 8, "depths": [2], "num_heads": [2], "window_size": 4, "img_size": 8}
SWINIR |= {"upsampler": "pixelshuffle"}


@ARCH_REGISTRY.register()
class FeaturesTestNet(nn.Module):
    """One layer of every kind that a tap may meet."""

    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(3, 4, 3, padding=1)
        self.norm = nn.BatchNorm2d(4)
        self.dropout = nn.Dropout(0.5)
        self.pair = PairTestLayer()
        self.flat = nn.Flatten(2)
        self.unused = nn.Conv2d(4, 4, 1)
        self.last = nn.Conv2d(4, 3, 3, padding=1)

    def forward(self, x):
        x = self.dropout(self.norm(self.first(x)))
        self.pair(x)
        self.flat(x)
        return self.last(x)


class PairTestLayer(nn.Module):
    def forward(self, x):
        return x, x


def rrdb(**options) -> nn.Module:
    return build_encoder({"type": "BasicSRFeatures", "arch": RRDB, "layer": "conv_body", **options})


def swinir(**options) -> nn.Module:
    return build_encoder({"type": "BasicSRFeatures", "arch": SWINIR, "layer": "conv_before_upsample", **options})


def stub(layer: str) -> nn.Module:
    return build_encoder({"type": "BasicSRFeatures", "arch": {"type": "FeaturesTestNet"}, "layer": layer})


@pytest.mark.parametrize("size", [(1, 1), (3, 5), (9, 4), (7, 13)])
@pytest.mark.parametrize("build", [rrdb, lambda: swinir(multiple=4)], ids=["RRDBNet", "SwinIR"])
def test_features_have_the_size_of_the_image(build, size):
    encoder = build()
    assert encoder(torch.rand(2, 3, *size) * 2 - 1).shape == (2, encoder.out_channels, *size)


def test_features_are_the_layers_output_for_an_image_in_0_to_1():
    encoder = rrdb()
    image = torch.rand(1, 3, 6, 5)
    net = encoder.arch
    expected = net.conv_body(net.body(net.conv_first(image)))
    torch.testing.assert_close(encoder(image * 2 - 1), expected)


def test_the_number_of_channels_is_found():
    assert rrdb().out_channels == 6
    assert swinir(multiple=4).out_channels == 64


def test_a_size_between_multiples_is_padded_symmetrically_and_cropped():
    encoder = swinir(multiple=8).eval()
    image = torch.rand(1, 3, 9, 13) * 2 - 1
    padded = torch.from_numpy(np.pad(image.numpy(), [(0, 0), (0, 0), (0, 7), (0, 3)], mode="symmetric"))
    torch.testing.assert_close(encoder(image), encoder(padded)[..., :9, :13], rtol=0, atol=0)


def test_modules_after_the_layer_do_not_run():
    encoder = rrdb()
    encoder.arch.conv_up1.register_forward_pre_hook(lambda *_: pytest.fail("ran on"))
    encoder(torch.rand(1, 3, 4, 4))


def test_no_hook_is_left_on_the_network():
    encoder = rrdb()
    encoder(torch.rand(1, 3, 4, 4))
    assert not any(module._forward_hooks for module in encoder.modules())


def test_no_hook_is_left_when_the_network_fails():
    encoder = rrdb()
    with pytest.raises(RuntimeError):
        encoder(torch.rand(1, 4, 4, 4))
    assert not any(module._forward_hooks for module in encoder.modules())


def test_every_trainable_parameter_receives_a_gradient():
    encoder = rrdb()
    encoder(torch.rand(1, 3, 6, 5)).square().sum().backward()
    trainable = {name for name, parameter in encoder.named_parameters() if parameter.requires_grad}
    assert trainable == {name for name, parameter in encoder.named_parameters() if parameter.grad is not None}


def test_parameters_that_do_not_affect_the_layer_are_frozen():
    frozen = {name for name, parameter in stub("norm").named_parameters() if not parameter.requires_grad}
    assert frozen == {"arch.unused.weight", "arch.unused.bias", "arch.last.weight", "arch.last.bias"}


def test_construction_works_under_no_grad():
    with torch.no_grad():
        encoder = rrdb()
    assert encoder.arch.conv_body.weight.requires_grad


def test_construction_leaves_running_statistics_and_training_mode_alone():
    encoder = stub("norm")
    assert encoder.arch.norm.num_batches_tracked == 0
    assert all(module.training for module in encoder.modules())


def test_a_deep_copy_uses_its_own_weights():
    encoder = rrdb()
    twin = copy.deepcopy(encoder)
    nn.init.zeros_(twin.arch.conv_body.weight)
    nn.init.zeros_(twin.arch.conv_body.bias)
    image = torch.rand(1, 3, 4, 4)
    assert not twin(image).any()
    assert encoder(image).any()


def test_options_are_left_as_they_are():
    before = copy.deepcopy(RRDB)
    rrdb()
    assert before == RRDB


def test_an_unknown_layer_is_refused_with_the_nearest_names():
    with pytest.raises(ValueError, match="no layer named 'conv_bodi' in RRDBNet; the nearest are conv_body"):
        rrdb(layer="conv_bodi")


def test_an_unknown_arch_is_refused_by_name():
    with pytest.raises(ValueError, match="ARCH_REGISTRY, got 'NoSuchNet'"):
        rrdb(arch={"type": "NoSuchNet"})


def test_an_arch_registered_under_basicsrs_suffix_is_found():
    arch = {"type": "SRVGGNetCompact", "num_feat": 4, "num_conv": 1}
    assert rrdb(arch=arch, layer="body.2").out_channels == 4


def test_an_arch_without_type_is_refused():
    with pytest.raises(ValueError, match="ARCH_REGISTRY, got None"):
        rrdb(arch={"num_feat": 8})


def test_a_layer_at_another_resolution_is_refused_with_both_shapes():
    message = r"layer 'conv_hr': .* \(1, C, 1, 3\) for an image of \(1, 3, 1, 3\), got \(1, 6, 4, 12\)"
    with pytest.raises(ValueError, match=message):
        rrdb(layer="conv_hr")


def test_a_layer_of_tokens_is_refused():
    with pytest.raises(ValueError, match=r"layer 'flat': .* got \(1, 4, 3\)"):
        stub("flat")


def test_a_layer_with_several_outputs_is_refused():
    with pytest.raises(ValueError, match="layer 'pair': .* got tuple"):
        stub("pair")


def test_a_layer_that_does_not_run_is_refused():
    with pytest.raises(ValueError, match="layer 'unused': expected a layer that runs"):
        stub("unused")


def test_a_window_network_without_multiple_is_refused():
    with pytest.raises(ValueError, match="multiple: SwinIR fails on an image of 3x1; .* got 1"):
        swinir()


def test_a_network_that_asserts_its_multiple_is_refused_without_it():
    with pytest.raises(ValueError, match="multiple: RRDBNet fails on an image of 3x1; .* got 1"):
        rrdb(arch={**RRDB, "scale": 2})


def test_a_multiple_below_1_is_refused():
    with pytest.raises(ValueError, match="multiple: expected at least 1, got 0"):
        rrdb(multiple=0)
