import copy
import functools
import os

import pytest
import torch

from clit_plugin.archs import CLIT
from clit_plugin.official.convert import load_official
from clit_plugin.utils.errors import UserError

# File and number of cases.
GOLDEN = {
    "clit1_edsr": 3,
    "clit1_nocell_noattn": 1,
    "clit1_rcan": 1,
    "clit1_rdn": 1,
    "clit1_swinir": 2,
    "clit2_edsr": 3,
    "clit3_edsr_r1": 2,
}
CASES = [(name, i) for name, number in GOLDEN.items() for i in range(number)]


def golden(shared, name, number):
    net, cases = golden_file(shared / "golden" / f"{name}.pth")
    return net, cases[number]


@functools.cache
def golden_file(path):
    return load_official(path).requires_grad_(False), torch.load(path, weights_only=True)["cases"]


@pytest.fixture
def load(tmp_path):
    """Save a checkpoint and load it again."""

    def save_and_load(content):
        torch.save(content, tmp_path / "official.pth")
        return load_official(tmp_path / "official.pth")

    return save_and_load


@pytest.fixture
def refused(load):
    """The one line with which a checkpoint is refused, without its path."""

    def message_for(content) -> str:
        with pytest.raises(UserError) as caught:
            load(content)
        message = str(caught.value)
        assert "\n" not in message
        assert "official.pth: " in message
        return message.split("official.pth: ", 1)[1]

    return message_for


def test_every_golden_clit_is_listed_here(shared):
    assert {path.stem for path in (shared / "golden").glob("clit*.pth")} == set(GOLDEN)


@pytest.mark.parametrize("name", GOLDEN)
def test_every_golden_case_is_listed_here(shared, name):
    assert len(torch.load(shared / "golden" / f"{name}.pth", weights_only=True)["cases"]) == GOLDEN[name]


@pytest.mark.parametrize(("name", "number"), CASES)
def test_encoder_gives_the_originals_features(shared, name, number):
    net, case = golden(shared, name, number)
    torch.testing.assert_close(net.encoder(case["lr"]), case["encoder_features"], rtol=0, atol=1e-5)


@pytest.mark.parametrize(("name", "number"), CASES)
def test_every_branch_predicts_the_originals_colours(shared, name, number):
    net, case = golden(shared, name, number)
    lq = case["lr"] * 0.5 + 0.5
    for used, expected in enumerate(case["query_preds_per_branch"]):
        rgb = net(lq, case["query_coord"], case["cell"], case["stage_sizes"][:used])
        torch.testing.assert_close(rgb * 2 - 1, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize(("name", "number"), CASES)
def test_a_whole_image_equals_the_originals(shared, name, number):
    net, case = golden(shared, name, number)
    *stages, size = case["stage_sizes"]
    rgb = net.upscale(case["lr"] * 0.5 + 0.5, size, stages)
    torch.testing.assert_close(rgb * 2 - 1, case["sr"], rtol=0, atol=1e-5)


def test_a_checkpoint_becomes_a_network_in_eval_mode(official_clit, load):
    net = load(official_clit)
    assert isinstance(net, CLIT)
    assert not any(module.training for module in net.modules())


def test_weights_are_renamed_to_ours(official_clit, load):
    weights, net = official_clit["model"]["sd"], load(official_clit)
    assert torch.equal(net.conv_feat.weight, weights["conv_ch.weight"])
    assert torch.equal(net.branches[0].to_q.weight, weights["conv_qs.0.weight"])
    assert torch.equal(net.branches[0].to_k.weight, weights["conv_ks.0.weight"])
    assert torch.equal(net.branches[0].to_v.weight, weights["conv_vs.0.weight"])
    assert torch.equal(net.branches[0].decoder[2].bias, weights["imnets.0.layers.2.bias"])
    assert torch.equal(net.pos_bias.weight, weights["pb_encoder.proj.weight"])
    assert torch.equal(net.encoder.body[0].conv2.weight, weights["encoder.body.0.body.2.weight"])


def test_half_precision_weights_become_float32(official_clit, load):
    halves = {name: value.half() for name, value in official_clit["model"]["sd"].items()}
    official_clit["model"]["sd"] = halves
    net = load(official_clit)
    assert {parameter.dtype for parameter in net.parameters()} == {torch.float32}
    assert torch.equal(net.conv_feat.weight, halves["conv_ch.weight"].float())


def test_the_originals_defaults_hold_where_arguments_lack_a_key(official_clit, load):
    for name in ("imnet_num", "conv_num", "is_cell", "local_attn"):
        del official_clit["model"]["args"][name]
    assert load(official_clit).num_branches == 1


def test_a_file_that_does_not_exist_is_refused(tmp_path):
    with pytest.raises(
        UserError,
        match=r"missing\.pth: no such file; expected a checkpoint of the original CLIT, LIIF, LTE or Meta-SR code",
    ):
        load_official(tmp_path / "missing.pth")


def test_a_folder_is_refused(tmp_path):
    with pytest.raises(UserError, match="no such file"):
        load_official(tmp_path)


@pytest.mark.parametrize("content", [b"", b"not a checkpoint\n", b"PK\x03\x04 not a zip", b"\x80\x02."])
def test_a_file_that_is_not_a_checkpoint_is_refused(tmp_path, content):
    path = tmp_path / "image.png"
    path.write_bytes(content)
    with pytest.raises(
        UserError, match=r"image\.png: expected a checkpoint of the original CLIT, LIIF, LTE or Meta-SR code"
    ):
        load_official(path)


def test_code_in_a_checkpoint_is_not_executed(official_clit, refused, tmp_path):
    class Payload:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "executed"),)

    assert "weights_only=True" in refused({**official_clit, "payload": Payload()})
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize(
    "content", [[], {"params": {}}, {"model": {}}, {"model": {"name": "clit", "args": [], "sd": {}}}, torch.zeros(2)]
)
def test_a_checkpoint_in_another_layout_is_refused(refused, content):
    assert refused(content).endswith("{'model': {'name', 'args', 'sd'}}")


def test_weights_that_are_not_tensors_are_refused(official_clit, refused):
    official_clit["model"]["sd"]["conv_ch.weight"] = 3
    assert "more than named tensors" in refused(official_clit)


def test_an_unsupported_network_is_refused_with_the_supported_names(official_clit, refused):
    official_clit["model"]["name"] = "lit"
    assert refused(official_clit).startswith("holds a network named 'lit'; supported are clit")


def change(official: dict, key: str, **arguments) -> dict:
    changed = copy.deepcopy(official)
    target = changed["model"]["args"]
    (target[key]["args"] if key else target).update(arguments)
    return changed


@pytest.mark.parametrize(
    ("key", "arguments", "message"),
    [
        ("", {"local_ensemble": True}, "got 'local_ensemble'"),
        ("", {"imnet_num": 2}, "imnet_num: expected conv_num, 1, got 2"),
        ("", {"base_dim": 5}, "dim: expected a positive multiple of num_heads (2), got 5"),
        ("", {"pb_spec": None}, "pb_spec: expected a mapping with name and args, got None"),
        ("", {"encoder_spec": {"name": "vgg", "args": {}}}, "edsr-baseline, edsr, rdn, rcan, swinir, got 'vgg'"),
        ("", {"imnet_spec": {"name": "siren", "args": {}}}, "only the name 'mlp' is supported, got 'siren'"),
        ("pb_spec", {"posenc_type": "learn"}, "only posenc_type = 'sinusoid' is supported, got 'learn'"),
        ("pb_spec", {"posenc_scale": 6}, "only posenc_scale = 10 is supported, got 6"),
        ("pb_spec", {"enc_dims": 256}, "only enc_dims = 64 is supported, got 256"),
        ("imnet_spec", {"act": "relu"}, "only act = 'gelu' is supported, got 'relu'"),
        ("imnet_spec", {"out_dim": 1}, "only out_dim = 3 is supported, got 1"),
        ("encoder_spec", {"no_upsampling": False}, "only no_upsampling = True is supported, got False"),
        ("encoder_spec", {"n_colors": 1}, "got 'n_colors'"),
    ],
)
def test_an_unsupported_argument_is_refused(official_clit, refused, key, arguments, message):
    assert message in refused(change(official_clit, key, **arguments))


def test_an_unknown_rdn_configuration_is_refused(official_clit, refused):
    spec = {"name": "rdn", "args": {"no_upsampling": True, "RDNconfig": "C"}}
    assert "RDNconfig 'A' or 'B', got 'C'" in refused(change(official_clit, "", encoder_spec=spec))


def test_missing_weights_are_named(official_clit, refused):
    for name in ("conv_ch.weight", "pb_encoder.proj.bias"):
        del official_clit["model"]["sd"][name]
    assert "missing: conv_feat.weight, " in refused(official_clit)


def test_unexpected_weights_are_named_and_counted(official_clit, refused):
    official_clit["model"]["sd"] |= {f"conv_freq.{i}": torch.zeros(1) for i in range(5)}
    assert "unexpected: conv_freq.0, conv_freq.1, conv_freq.2 and 2 more" in refused(official_clit)


def test_weights_of_a_wrong_shape_are_named(official_clit, refused):
    official_clit["model"]["sd"]["conv_ch.bias"] = torch.zeros(7)
    assert "of another shape: conv_feat.bias" in refused(official_clit)
