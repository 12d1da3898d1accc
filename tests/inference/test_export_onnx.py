"""The ONNX graphs give the network's numbers at every size and scale, or are refused by name."""

import numpy as np
import pytest
import torch
from inference_helpers import CLIT, LIIF

from clit_plugin.archs.build import build_network
from clit_plugin.commands.cli import main
from clit_plugin.utils.errors import UserError

onnx = pytest.importorskip("onnx", reason="needs clit_plugin[onnx]")
onnxruntime = pytest.importorskip("onnxruntime", reason="needs clit_plugin[onnx]")
pytest.importorskip("onnxscript", reason="needs clit_plugin[onnx]")

from clit_plugin.inference import export_onnx as exporter  # noqa: E402

# LR and output sizes: x3, x2, x1, fractional, anisotropic, smaller, a pixel, and cascades of two and three.
SIZES = [
    ((13, 18), (39, 54)),
    ((20, 20), (60, 60)),
    ((9, 8), (18, 16)),
    ((7, 6), (7, 6)),
    ((17, 9), (52, 40)),
    ((9, 31), (30, 77)),
    ((10, 12), (7, 30)),
    ((1, 1), (3, 5)),
    ((11, 6), (37, 96)),
    ((5, 7), (60, 84)),
    ((2, 3), (70, 60)),
]
NETWORKS = {
    "LIT": {**CLIT, "num_branches": 1},
    "CLIT-2": CLIT,
    "CLIT-3": {**CLIT, "num_branches": 3, "local_grid": [5, 1], "positional_encoding": "eq6"},
    "CLIT with ensemble": {**CLIT, "local_ensemble": True, "positional_encoding": "none", "cell_decoding": False},
    "CLIT without attention": {**CLIT, "local_attention": False},
    "CLIT without decoder": {**CLIT, "decoder_hidden": [], "discount": 0.5, "local_grid": [1, 3]},
    "LIIF": LIIF,
    "plain LIIF": {**LIIF, "feature_unfold": False, "cell_decoding": False, "local_ensemble": False},
    "LTE": {"type": "LTE", "encoder": CLIT["encoder"], "width": 8, "decoder_hidden": [8]},
    "plain LTE": {"type": "LTE", "encoder": CLIT["encoder"], "width": 8, "cell_clip": False, "local_ensemble": False},
    "MetaSR": {"type": "MetaSR", "encoder": CLIT["encoder"], "width": 8},
}
SWINIR = {"type": "SwinIR", "embed_dim": 4, "depths": [2], "num_heads": [1], "window_size": 4, "img_size": 8}
TAPPED = {"type": "BasicSRFeatures", "layer": "conv_after_body"}
TAPPED["arch"] = {"type": "EDSR", "num_in_ch": 3, "num_out_ch": 3, "num_feat": 4, "num_block": 1, "upscale": 2}


def lively(options):
    """A random network whose output is far from grey and from the bilinear image."""
    torch.manual_seed(0)
    net = build_network(options).eval().requires_grad_(False)
    for parameter in net.parameters():
        parameter.mul_(2)
    return net


class TorchEncoder:
    """Stands for a session of the encoder's graph, of which torch's exporter takes seconds to make."""

    def __init__(self, net):
        self.net = net

    def run(self, _, given):
        return [features(self.net, given["lq"])]


def features(net, lq):
    return exporter.EncoderPart(net)(torch.from_numpy(lq)).numpy()


def session(model):
    content = model if isinstance(model, bytes) else model.SerializeToString()
    return onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])


@pytest.mark.parametrize("name", NETWORKS)
def test_the_decoder_gives_the_networks_colours_in_blocks_at_every_size(name):
    net = lively(NETWORKS[name])
    decoder = session(exporter.decoder_graph(net))
    for lq_size, size in SIZES:
        lq = torch.rand(1, 3, *lq_size)
        expected = net.upscale(lq, size)[0].permute(1, 2, 0).numpy()
        block = 977  # across rows
        got = exporter.run_onnx(TorchEncoder(net), decoder, lq.numpy(), size, net.num_branches, block)
        assert np.abs(got - expected).max() < 1e-4 and np.isfinite(got).all(), (lq_size, size)
        skip = torch.nn.functional.interpolate(lq, size, mode="bilinear")[0].permute(1, 2, 0).numpy()
        assert np.abs(expected - skip).max() > 0.05  # there is something to be wrong in


def test_the_decoder_accepts_scattered_queries_and_stage_sizes():
    net, lq = lively(NETWORKS["CLIT-3"]), torch.rand(1, 3, 6, 9)
    coord, cell = torch.rand(1, 333, 2) * 2 - 1, torch.tensor([[2 / 50, 2 / 61]])
    decoder = session(exporter.decoder_graph(net))
    for stages in ([], [(11, 14)], [(7, 9), (23, 40)]):
        given = {"features": features(net, lq.numpy()), "coord": coord[0].numpy(), "cell": cell[0].numpy()}
        given["stage_sizes"] = np.array(stages, np.int64).reshape(-1, 2)
        expected = net(lq, coord, cell, stages)[0].detach().numpy()
        assert np.abs(decoder.run(None, given)[0] - expected).max() < 1e-4


def test_exported_models_are_valid_described_and_of_a_supported_opset():
    net, other = lively(NETWORKS["LIT"]), lively({**NETWORKS["LIT"], "positional_encoding": "eq6"})
    encoder, decoder = exporter.export_onnx(net, {"modelspec.title": "mine"})
    for graph in (encoder, decoder):
        model = onnx.load_from_string(graph)
        assert {opset.version for opset in model.opset_import if opset.domain == ""} == {18} and model.ir_version == 8
        known = {prop.key: prop.value for prop in model.metadata_props}
        assert known["modelspec.title"] == "mine" and int(known["max_queries"]) > 1000
    for size in ((1, 1), (5, 31), (40, 16)):
        lq = np.random.default_rng(0).random((1, 3, *size), np.float32)
        assert np.abs(session(encoder).run(None, {"lq": lq})[0] - features(net, lq)).max() < 1e-4
    assert exporter.check_onnx(net, encoder, decoder) < 1e-5
    with pytest.raises(UserError, match="CLIT with a EDSRBaseline encoder: its ONNX graph differs by"):
        exporter.check_onnx(net, encoder, exporter.decoder_graph(other).SerializeToString())
    wider = lively({**NETWORKS["LIT"], "dim": 16})
    with pytest.raises(UserError, match="onnxruntime fails .*nothing is written"):
        exporter.check_onnx(net, encoder, exporter.decoder_graph(wider).SerializeToString())


@pytest.mark.parametrize(
    "encoder",
    [
        {"type": "RDN", "num_feat": 8, "num_block": 2, "num_layer": 2, "growth": 4},
        {"type": "RCAN", "num_feat": 16, "num_group": 1, "num_block": 2, "squeeze_factor": 4},
    ],
    ids=lambda encoder: encoder["type"],
)
def test_other_encoders_are_exported_for_every_image_size(encoder):
    net = lively({**LIIF, "encoder": encoder})
    graph = session(exporter.encoder_graph(net))
    for size in ((1, 1), (5, 31), (40, 16)):
        lq = np.random.default_rng(0).random((1, 3, *size), np.float32)
        assert np.abs(graph.run(None, {"lq": lq})[0] - features(net, lq)).max() < 1e-4


def test_a_users_encoder_that_torch_cannot_export_is_refused_by_name():
    class Own(torch.nn.Module):
        out_channels = 8

        def forward(self, x):
            return x.new_tensor(x.sum().item()).expand(1, 8, *x.shape[2:]) if x.sum().item() > 3 else x[:, :1]

    net = lively(LIIF)
    net.encoder = Own()
    with pytest.raises(UserError, match="^encoder Own: torch cannot export it to ONNX for every image size$"):
        exporter.encoder_graph(net)


@pytest.mark.parametrize(
    ("network", "message"),
    [
        ({**CLIT, "frequency_channels": 2}, "frequency_channels: "),
        (
            {"type": "UltraSR", "encoder": CLIT["encoder"], "width": 8},
            "UltraSR: cannot be exported to ONNX; CLIT, LIIF",
        ),
        ({"type": "IPE", "encoder": CLIT["encoder"], "decoder_hidden": [8]}, "IPE: cannot be exported to ONNX"),
        ({**LIIF, "encoder": SWINIR}, "encoder SwinIR: cannot be exported to ONNX, as "),
        ({**LIIF, "encoder": TAPPED}, "encoder BasicSRFeatures: cannot be exported to ONNX, as "),
    ],
)
def test_a_network_that_cannot_be_exported_is_refused_by_name_and_nothing_is_written(
    tmp_path, monkeypatch, capsys, network, message
):
    monkeypatch.chdir(tmp_path)
    torch.save({"params": build_network(network).state_dict(), "network_g": network}, "net.pth")
    assert main(["export", "net.pth", "-o", "net.onnx"]) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"clit export: error: net.pth: {message}") and said.count("\n") == 1
    assert [file.name for file in tmp_path.iterdir()] == ["net.pth"]
