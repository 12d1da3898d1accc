"""``clit test --weights``: the network and its name are the file's, the sets the command's."""

import csv
import json

import pytest
import torch
from tiny_networks import TINY_NETWORK
from train_helpers import write_images, write_yaml

from clit_plugin.archs.build import build_network
from clit_plugin.commands.cli import main
from clit_plugin.commands.test_arguments import name_weights
from clit_plugin.inference.load_network import load_network
from clit_plugin.metrics.float_metrics import psnr_float
from clit_plugin.metrics.protocol import EvaluationProtocol
from clit_plugin.utils.errors import UserError


def save(path, network=TINY_NETWORK, *, ema=False, stored=True, seed=0):
    """Random weights; with ``ema`` an average that differs from them."""
    torch.manual_seed(seed)
    weights = build_network(network).state_dict()
    content = {"params": weights, **({"network_g": network} if stored else {})}
    if ema:
        content["params_ema"] = {name: value + 0.02 * torch.randn_like(value) for name, value in weights.items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(content, path)
    return str(path)


def results(place, name):
    """Stored results of a run by set."""
    files = sorted((place / "results" / name / "metrics").glob("*.json"))
    return {content["set"]: content for content in (json.loads(file.read_text()) for file in files)}


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder to work in, with two images of 37 x 34."""
    monkeypatch.chdir(tmp_path)
    write_images(tmp_path / "hr", 2, (37, 34))
    return tmp_path


SETS = ["--folder", "mine=hr", "--scales", "2"]


def psnr_by_hand(place, weights, param_key):
    """Mean PSNR at x2 by the protocol benchmark, without anything of ``clit test``."""
    from clit_plugin.data.arbitrary_scale_paired_dataset import ArbitraryScalePairedDataset

    net = load_network(weights, param_key=param_key)
    given = {"phase": "test", "name": "m", "dataroot_gt": str(place / "hr"), "scale": 2}
    images = ArbitraryScalePairedDataset({**given, "degradation": "pil", "protocol": "benchmark"})
    pairs = [(image["lq"][None], image["gt"][None]) for image in (images[i] for i in range(len(images)))]
    options = EvaluationProtocol.named("benchmark").metric_options(2)
    scores = [psnr_float(net.upscale(lq, gt.shape[-2:]), gt, **options) for lq, gt in pairs]
    return sum(scores) / len(scores)


@pytest.mark.parametrize(
    ("flags", "key"), [([], "params_ema"), (["--param-key", "params"], "params")], ids=["default", "params"]
)
def test_averaged_weights_are_scored_and_named_unless_others_are_requested(place, capsys, flags, key):
    file = save(place / "w.pth", ema=True)
    assert main(["test", "--weights", file, *SETS, *flags]) == 0
    result = results(place, "w")["mine_x2"]
    assert result["metrics"]["psnr"] == pytest.approx(psnr_by_hand(place, file, key))
    assert result["weights"]["param_key"] == key
    (row,) = csv.DictReader((place / "results/w/results.csv").open())
    assert row["param_key"] == key
    assert f"w.pth [{key}]" in capsys.readouterr().out


def test_a_test_by_an_option_file_scores_averaged_weights_too(place):
    file = save(place / "w.pth", ema=True)
    dataset = {"name": "m", "dataroot_gt": "hr", "degradation": "pil", "scale": 2, "protocol": "benchmark"}
    content = {"name": "run", "num_gpu": 0, "network_g": TINY_NETWORK, "path": {"pretrain_network_g": file}}
    content |= {"val": {"metrics": {"psnr": {"type": "psnr_float"}}}, "datasets": {"test": dataset}}
    assert main(["test", "-opt", write_yaml(place / "t.yml", content)]) == 0
    result = results(place, "run")["m"]
    assert result["weights"]["param_key"] == "params_ema"
    assert result["metrics"]["psnr"] == pytest.approx(psnr_by_hand(place, file, "params_ema"))


def test_several_weights_files_get_a_results_folder_each_and_share_one_table(place, capsys):
    one = save(place / "experiments/lit/models/net_g_latest.pth")
    two = save(place / "other.pth", {**TINY_NETWORK, "dim": 16}, seed=1)
    assert main(["test", "--weights", one, f"wide={two}", "--folder", "mine=hr", "--scales", "2", "3.5"]) == 0
    table = capsys.readouterr().out
    head = next(line for line in table.splitlines() if line.startswith("set "))
    assert head.split() == [
        *("set", "scale", "LR", "protocol", "images", "psnr", "lit", "psnr", "wide", "ssim", "lit", "ssim", "wide")
    ]
    for set_name, scale in (("mine_x2", "x2"), ("mine_x3.5", "x3.5")):
        row = next(line.split() for line in table.splitlines() if f" {scale} " in line)
        psnr = [results(place, name)[set_name]["metrics"]["psnr"] for name in ("lit", "wide")]
        assert row[-4:-2] == [f"{value:.3f}" for value in psnr] and psnr[0] != psnr[1]
    assert results(place, "wide")["mine_x2"]["options"]["network_g"]["dim"] == 16


@pytest.mark.parametrize(
    ("name", "protocol", "channel"), [("mine", "benchmark", "Y"), ("DIV2K", "div2k", "RGB")], ids=["Y", "RGB"]
)
def test_a_folder_is_scored_on_pillows_lr_by_the_protocol_usual_for_its_name(place, name, protocol, channel):
    assert main(["test", "--weights", save(place / "w.pth"), "--folder", f"{name}=hr", "--scales", "2"]) == 0
    result = results(place, "w")[f"{name}_x2"]
    assert (result["protocol"]["name"], result["protocol"]["channel"]) == (protocol, channel)
    assert result["degradation"] == "pil"


def test_sets_and_metrics_come_from_the_option_file_and_the_network_from_the_weights(place, capsys):
    file = save(place / "w.pth", {**TINY_NETWORK, "dim": 16})
    dataset = {"name": "m", "dataroot_gt": "hr", "degradation": "matlab", "scale": 2, "protocol": "div2k"}
    content = {"name": "training", "num_gpu": 0, "network_g": TINY_NETWORK, "train": {"total_iter": 5}}
    content |= {"val": {"metrics": {"only": {"type": "ssim_float"}}}, "datasets": {"train": {}, "val": dataset}}
    opt = write_yaml(place / "t.yml", content)
    assert main(["test", "--weights", file, "-opt", opt, "--set", "val.self_ensemble=4"]) == 0
    result = results(place, "w")["m"]
    assert list(result["metrics"]) == ["only"] and result["degradation"] == "matlab"
    assert result["options"]["network_g"]["dim"] == 16 and result["options"]["self_ensemble"] == 4
    assert "t.yml: its network_g is ignored" in capsys.readouterr().err


def test_the_network_comes_from_the_option_file_for_weights_that_hold_none(place):
    file = save(place / "w.pth", stored=False)
    opt = write_yaml(place / "t.yml", {"network_g": TINY_NETWORK})
    assert main(["test", "--weights", file, "-opt", opt, *SETS]) == 0
    assert results(place, "w")["mine_x2"]["options"]["network_g"] == TINY_NETWORK


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["--weights", "w.pth"], "--folder: missing; name the images to score"),
        (["--weights", "w.pth", "--folder", "m=hr"], "--scales: missing; m is in no option file"),
        (["--weights", "no.pth", *SETS], "no.pth: no such weights file"),
        (["--weights", "bare.pth", *SETS], "bare.pth: holds no network_g; give the option file"),
        (["--weights", "w.pth", "w.pth", *SETS], "w.pth and w.pth would both be named w; give one as NAME=FILE"),
        (["--weights", "w.pth", "--param-key", "params_ema", *SETS], "w.pth: holds no 'params_ema'"),
        (["--weights", "w.pth", "--set", "network_g.dim=4", *SETS], "with --weights the file determines network_g"),
        (["--weights", "w.pth", "--folder", "m=gone", "--scales", "2"], "looked for gone"),
        (SETS, "--weights: missing; give weights files, or an option file with -opt"),
    ],
)
def test_bad_arguments_of_test_are_refused_in_one_line_and_write_nothing(place, capsys, arguments, error):
    save(place / "w.pth")
    save(place / "bare.pth", stored=False)
    assert main(["test", *arguments]) == 2
    errors = capsys.readouterr().err
    assert error in errors and errors.count("\n") == 1
    assert not (place / "results").exists()


def test_a_run_is_named_after_its_experiment(tmp_path):
    files = ["experiments/lit/models/net_g_latest.pth", "experiments/lit/models/net_g_500.pth", "a b.pth", "x=c.pth"]
    assert list(name_weights(files)) == ["lit", "lit_500", "a_b", "x"]
    with pytest.raises(UserError, match="expected FILE or NAME=FILE"):
        name_weights(["../x=c.pth"])
