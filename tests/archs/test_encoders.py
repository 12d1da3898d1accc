import numpy as np
import pytest
import torch
from torch import nn

from clit_plugin.archs.encoders import build_encoder
from clit_plugin.archs.encoders.padding import pad_to_multiple

SMALL = {
    "EDSRBaseline": {"num_feat": 6, "num_block": 2},
    "EDSR": {"num_feat": 6, "num_block": 2},
    "RDN": {"num_feat": 4, "num_block": 2, "num_layer": 3, "growth": 5},
    "RCAN": {"num_feat": 8, "num_group": 2, "num_block": 2, "squeeze_factor": 2},
    "SwinIR": {"embed_dim": 8, "depths": [2, 2], "num_heads": [2, 4], "window_size": 4, "img_size": 8},
}
SIZES = [(1, 1), (3, 5), (9, 4), (7, 13)]


def small(name: str, **options) -> nn.Module:
    return build_encoder({"type": name, **SMALL[name], **options})


def count(net: nn.Module) -> int:
    return sum(parameter.numel() for parameter in net.parameters())


def conv(channels_in: int, channels_out: int, kernel: int = 3) -> int:
    """Parameters of a convolution with bias."""
    return channels_in * channels_out * kernel**2 + channels_out


def symmetric(x: torch.Tensor, height: int, width: int) -> torch.Tensor:
    pads = [(0, 0), (0, 0), (0, height - x.shape[2]), (0, width - x.shape[3])]
    return torch.from_numpy(np.pad(x.numpy(), pads, mode="symmetric"))


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", SMALL)
def test_features_have_the_size_of_the_image(name, size):
    encoder = small(name)
    features = encoder(torch.rand(2, 3, *size) * 2 - 1)
    assert features.shape == (2, encoder.out_channels, *size)
    assert features.isfinite().all()


@pytest.mark.parametrize("name", SMALL)
def test_every_parameter_receives_a_gradient(name):
    encoder = small(name)
    encoder(torch.rand(2, 3, 7, 13) * 2 - 1).square().sum().backward()
    without = [
        key for key, parameter in encoder.named_parameters() if parameter.grad is None or not parameter.grad.any()
    ]
    assert without == []


@pytest.mark.parametrize("name", SMALL)
def test_images_of_a_batch_are_independent(name):
    encoder = small(name).eval()
    images = torch.rand(2, 3, 6, 9) * 2 - 1
    torch.testing.assert_close(encoder(images)[1:], encoder(images[1:]))


def test_edsr_baseline_has_the_parameters_of_its_paper():
    block = 2 * conv(64, 64)
    with torch.device("meta"):
        encoder = build_encoder({"type": "EDSRBaseline"})
    assert count(encoder) == conv(3, 64) + 16 * block + conv(64, 64) == 1_220_416


def test_edsr_has_the_parameters_of_its_paper():
    block = 2 * conv(256, 256)
    with torch.device("meta"):
        encoder = build_encoder({"type": "EDSR"})
    assert count(encoder) == conv(3, 256) + 32 * block + conv(256, 256) == 38_362_368


def test_rdn_has_the_parameters_of_its_paper():
    block = sum(conv(64 + 64 * i, 64) for i in range(8)) + conv(64 + 8 * 64, 64, 1)
    fusion = conv(16 * 64, 64, 1) + conv(64, 64)
    with torch.device("meta"):
        encoder = build_encoder({"type": "RDN"})
    assert count(encoder) == conv(3, 64) + conv(64, 64) + 16 * block + fusion == 21_973_952


def test_rcan_has_the_parameters_of_its_paper():
    block = 2 * conv(64, 64) + conv(64, 4, 1) + conv(4, 64, 1)
    group = 20 * block + conv(64, 64)
    with torch.device("meta"):
        encoder = build_encoder({"type": "RCAN"})
    assert count(encoder) == conv(3, 64) + 10 * group + conv(64, 64) == 15_295_200


def test_swinir_has_the_parameters_of_its_paper():
    dim, heads, norm = 180, 6, 2 * 180
    attention = (dim * 3 * dim + 3 * dim) + (dim * dim + dim) + 15 * 15 * heads  # qkv, projection, relative positions
    mlp = (dim * 2 * dim + 2 * dim) + (2 * dim * dim + dim)
    group = 6 * (attention + mlp + 2 * norm) + conv(dim, dim)
    expected = conv(3, dim) + 6 * group + 2 * norm + conv(dim, dim) + conv(dim, 64)
    assert count(build_encoder({"type": "SwinIR"})) == expected == 11_603_044


def test_swinir_pads_as_numpy_does_in_symmetric_mode():
    encoder = small("SwinIR", window_size=8, img_size=16).eval()
    image = torch.rand(1, 3, 9, 13) * 2 - 1
    whole = encoder(symmetric(image, 16, 16))
    torch.testing.assert_close(encoder(image), whole[..., :9, :13], rtol=0, atol=0)


def test_swinir_does_not_pad_a_multiple_of_the_window():
    encoder = small("SwinIR")
    seen = []
    encoder.conv_first.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    image = torch.rand(1, 3, 8, 12)
    encoder(image)
    assert seen[0] is image


@pytest.mark.parametrize("name", SMALL)
def test_gradient_checkpointing_keeps_the_gradients_and_saves_memory(name):
    options = {"drop_path_rate": 0.0} if name == "SwinIR" else {}
    plain, recomputed = small(name, **options), small(name, **options, use_checkpoint=True)
    recomputed.load_state_dict(plain.state_dict())
    image, kept = torch.rand(1, 3, 9, 6), []
    for encoder in (plain, recomputed):
        saved = []
        with torch.autograd.graph.saved_tensors_hooks(lambda x, s=saved: s.append(x.numel()) or x, lambda x: x):
            output = encoder(image).square().sum()
        output.backward()
        kept.append(sum(saved))
    for ours, theirs in zip(recomputed.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(ours.grad, theirs.grad)
    assert kept[1] < 0.7 * kept[0]


@pytest.mark.parametrize("size", [(1, 1), (2, 7), (8, 5), (9, 16), (3, 20)])
def test_padding_is_numpys_symmetric_mode(size):
    image = torch.arange(size[0] * size[1], dtype=torch.float32).view(1, 1, *size)
    height, width = (-(-n // 8) * 8 for n in size)
    assert torch.equal(pad_to_multiple(image, 8), symmetric(image, height, width))


def test_padding_leaves_a_multiple_unchanged():
    image = torch.rand(1, 3, 8, 16)
    assert pad_to_multiple(image, 8) is image


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"type": "EDSRBaseline", "num_block": 0}, "num_block: expected at least 1, got 0"),
        ({"type": "RDN", "growth": -1}, "growth: expected at least 1, got -1"),
        ({"type": "RCAN", "num_feat": 8}, r"squeeze_factor: expected at most num_feat \(8\), got 16"),
        ({"type": "SwinIR", "depths": []}, "depths: expected positive numbers, got "),
        ({"type": "SwinIR", "num_heads": [6]}, r"num_heads: expected 6 numbers, as in depths, got \[6\]"),
        ({"type": "SwinIR", "embed_dim": 20}, r"num_heads: expected divisors of embed_dim \(20\), got "),
        ({"type": "SwinIR", "img_size": 8}, r"img_size: expected a multiple of window_size \(8\) above it, got 8"),
        ({"type": "SwinIR", "mlp_ratio": 0}, "mlp_ratio: expected a positive number, got 0"),
        ({"type": "SwinIR", "drop_path_rate": 1.0}, r"drop_path_rate: expected a number in \[0, 1\), got 1.0"),
    ],
)
def test_a_bad_argument_is_named_with_its_value(options, message):
    with pytest.raises(ValueError, match=rf"^encoder\.{message}"):
        build_encoder(options)


@pytest.mark.parametrize("name", SMALL)
def test_an_unknown_argument_is_refused(name):
    with pytest.raises(TypeError, match="num_feats"):
        build_encoder({"type": name, "num_feats": 8})
