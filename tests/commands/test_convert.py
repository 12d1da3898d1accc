"""``clit convert`` and the original LIIF, LTE and Meta-SR."""

import os

import pytest
import torch

from clit_plugin.archs.build import build_network
from clit_plugin.archs.weights import read_weights
from clit_plugin.commands.cli import main
from clit_plugin.official.convert import load_official

GOLDEN = {"liif": 3, "liif_noens_nounfold_nocell": 3, "lte": 3, "metasr": 2}
CASES = [(name, i) for name, number in GOLDEN.items() for i in range(number)]


def test_every_golden_file_is_listed_here_or_is_clits(shared):
    names = {path.stem for path in (shared / "golden").glob("*.pth") if not path.stem.startswith("clit")}
    assert names == set(GOLDEN)


@pytest.mark.parametrize(("name", "number"), CASES)
@pytest.mark.parametrize("reference", [False, True])
def test_a_converted_networks_image_equals_the_originals(shared, name, number, reference):
    path = shared / "golden" / f"{name}.pth"
    net, cases = load_official(path), torch.load(path, weights_only=True)["cases"]
    assert len(cases) == GOLDEN[name]
    net.reference = reference
    case = cases[number]
    torch.testing.assert_close(net.encoder(case["lr"]), case["encoder_features"], rtol=0, atol=1e-5)
    image = net.upscale(case["lr"] * 0.5 + 0.5, case["out_size"])
    torch.testing.assert_close(image * 2 - 1, case["sr"], rtol=0, atol=1e-5)


def test_the_written_file_rebuilds_the_network(official_lte, tmp_path, capsys):
    out = tmp_path / "lte.pth"
    assert main(["convert", str(official_lte), "-o", str(out)]) == 0
    assert "type: LTE" in capsys.readouterr().out
    content = torch.load(out, weights_only=True)
    net = build_network(content["network_g"]).eval()
    net.load_state_dict(read_weights(out, "params"))
    lq = torch.rand(1, 3, 4, 5)
    assert torch.equal(net.upscale(lq, (9, 11)), load_official(official_lte).upscale(lq, (9, 11)))


def test_an_existing_file_is_replaced_only_on_request(official_lte, tmp_path, capsys):
    out = tmp_path / "lte.pth"
    out.write_bytes(b"precious")
    assert main(["convert", str(official_lte), "-o", str(out)]) == 2
    assert "--overwrite" in capsys.readouterr().err
    assert out.read_bytes() == b"precious"
    assert main(["convert", str(official_lte), "-o", str(out), "--overwrite"]) == 0
    assert "params" in torch.load(out, weights_only=True)


def test_a_hostile_file_is_refused_in_one_line_and_not_executed(tmp_path, capsys):
    class Hostile:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "executed"),)

    torch.save({"model": Hostile()}, tmp_path / "hostile.pth")
    assert main(["convert", str(tmp_path / "hostile.pth"), "-o", str(tmp_path / "out.pth")]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "hostile.pth" in error
    assert not (tmp_path / "executed").exists() and not (tmp_path / "out.pth").exists()


def test_an_unsupported_network_is_refused_by_name(official_lte, tmp_path, capsys):
    content = torch.load(official_lte, weights_only=True)
    content["model"]["name"] = "ltep"
    torch.save(content, official_lte)
    assert main(["convert", str(official_lte), "-o", str(tmp_path / "out.pth")]) == 2
    assert "'ltep'; supported are clit, liif, lte, metasr" in capsys.readouterr().err


def edited(official, change):
    content = torch.load(official, weights_only=True)
    change(content["model"])
    torch.save(content, official)
    return official


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda model: model["args"]["encoder_spec"]["args"].update(n_feats=10**6), "cannot be converted"),
        (lambda model: model["args"]["encoder_spec"]["args"].update(n_feats=10**18), "cannot be converted"),
        (lambda model: model["args"]["encoder_spec"]["args"].update(res_scale="x"), "res_scale"),
        (lambda model: model["args"].update(hidden_dim=None), "cannot be converted"),
        (lambda model: model["sd"].update({"coef.bias": torch.empty(4, device="meta")}), "finite numbers: "),
        (lambda model: model["sd"].update({"coef.bias": torch.full((4,), torch.nan)}), "finite numbers: "),
        (lambda model: model["sd"].update({"coef.bias": torch.zeros(4, dtype=torch.complex64)}), "finite numbers: "),
    ],
)
def test_invalid_arguments_and_weights_are_refused_in_one_line(official_lte, tmp_path, capsys, change, message):
    assert main(["convert", str(edited(official_lte, change)), "-o", str(tmp_path / "out.pth")]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "official.pth" in error and message in error
    assert not (tmp_path / "out.pth").exists()


def test_a_failed_write_is_one_line_and_leaves_no_file(official_lte, tmp_path, capsys):
    (tmp_path / "folder").mkdir()
    assert main(["convert", str(official_lte), "-o", str(tmp_path / "folder"), "--overwrite"]) == 2
    assert "folder: is a folder" in capsys.readouterr().err
    name = "x" * 250  # with its suffix longer than file systems allow
    assert main(["convert", str(official_lte), "-o", str(tmp_path / name)]) == 2
    assert f"{name}: cannot be written" in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["folder", "official.pth"]
