"""What ``clit test`` stores, skips, and resumes."""

import csv
import hashlib
import json

import numpy as np
import pytest
import torch
from evaluation_helpers import bicubic_options, result_files, results
from PIL import Image
from train_helpers import TINY_NETWORK, write_yaml

from clit_plugin.archs.build import build_network
from clit_plugin.commands.cli import main
from clit_plugin.evaluation.multiply_adds import count_multiply_adds


def test_a_result_records_all_that_determines_its_numbers(place):
    assert main(["test", "-opt", "test.yml"]) == 0
    result = results(place)["tiny_x2"]
    assert result["scale"] == [2, 2] and result["degradation"] == "pil"
    assert result["protocol"] == {"name": "benchmark", "channel": "Y", "extra_shave": 0}
    assert result["options"]["network_g"] == {"type": "Bicubic"}
    assert {"torch", "basicsr", "pillow"} <= result["versions"].keys()
    image = result["images"][0]
    assert (image["lq_size"], image["gt_size"], image["shave"]) == ([20, 19], [40, 38], 2)
    assert len(result["images"]) == 5
    mean = np.mean([image["metrics"]["psnr"] for image in result["images"]])
    assert result["metrics"]["psnr"] == pytest.approx(mean)
    rows = list(csv.DictReader((place / "results/run/results.csv").open()))
    assert float(rows[0]["psnr"]) == pytest.approx(mean) and rows[0]["shave"] == "2"
    assert len(list(csv.DictReader((place / "results/run/images.csv").open()))) == 5


def test_the_hash_of_the_weights_is_stored(place):
    torch.save({"params": build_network(TINY_NETWORK).state_dict()}, "w.pth")
    content = bicubic_options(place / "hr")
    content |= {"network_g": TINY_NETWORK, "path": {"pretrain_network_g": "w.pth"}}
    write_yaml(place / "net.yml", content)
    assert main(["test", "-opt", "net.yml"]) == 0
    digest = hashlib.sha256((place / "w.pth").read_bytes()).hexdigest()
    assert results(place)["tiny_x2"]["weights"]["sha256"] == digest


def test_a_second_run_computes_nothing_unless_an_image_changed(place, counted, capsys):
    assert main(["test", "-opt", "counted.yml"]) == 0
    assert counted.upscaled == 5
    assert main(["test", "-opt", "counted.yml"]) == 0
    assert counted.upscaled == 5 and "tiny_x2: stored already, skipped (psnr" in capsys.readouterr().err
    Image.fromarray(np.full((41, 38, 3), 9, np.uint8)).save(place / "hr" / "0002.png")
    assert main(["test", "-opt", "counted.yml"]) == 0
    assert counted.upscaled == 10


def test_an_interrupted_test_resumes_at_the_next_image(place, counted, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(counted, "stop_after", 3)
        assert main(["test", "-opt", "counted.yml"]) == 130
    assert results(place) == {} and counted.upscaled == 3
    (partial,) = (place / "results/run/metrics").glob("*.partial.jsonl")
    with partial.open("a") as file:
        file.write('{"image": "0004", "lq_size": [20')  # cut off by a crash
    assert main(["test", "-opt", "counted.yml"]) == 0
    assert counted.upscaled == 5
    resumed = results(place)["tiny_x2"]
    assert [image["image"] for image in resumed["images"]] == [f"{i:04}" for i in range(1, 6)]
    assert not partial.exists()
    assert main(["test", "-opt", "counted.yml", "--again"]) == 0
    assert counted.upscaled == 10
    assert results(place)["tiny_x2"]["metrics"] == resumed["metrics"]


def test_results_record_parameters_multiply_adds_and_seconds(place):
    net = build_network(TINY_NETWORK)
    torch.save({"params": net.state_dict(), "network_g": TINY_NETWORK}, "w.pth")
    assert main(["test", "--weights", "w.pth", "--folder", "m=hr", "--scales", "2"]) == 0
    (row,) = csv.DictReader((place / "results/w/results.csv").open())
    assert int(row["parameters"]) == sum(value.numel() for value in net.parameters())
    assert float(row["multiply_adds_1280x720"]) == count_multiply_adds(TINY_NETWORK, (2, 2))
    assert float(row["seconds_per_image"]) > 0


def test_a_damaged_file_among_the_results_does_not_stop_a_test(place):
    assert main(["test", "-opt", "test.yml"]) == 0
    (place / "results/run/metrics/zz.json").write_text("{")
    with pytest.warns(UserWarning, match=r"zz\.json: not a result of 'clit test'.*remove it"):
        assert main(["test", "-opt", "test.yml", "--scales", "3"]) == 0
    rows = list(csv.DictReader((place / "results/run/results.csv").open()))
    assert [row["set"] for row in rows] == ["tiny_x2", "tiny_x3"]


def test_realistic_lr_is_stored_with_all_its_parameters_and_apart_from_bicubic_lr(place, capsys):
    content = bicubic_options(place / "hr")
    content["datasets"]["test"]["degradation"] = {"type": "realistic", "seed": 3}
    write_yaml(place / "realistic.yml", content)
    assert main(["test", "-opt", "test.yml"]) == 0
    bicubic = results(place)["tiny_x2"]
    assert main(["test", "-opt", "realistic.yml"]) == 0
    files = [json.loads(file.read_text()) for file in result_files(place)]
    (stored,) = (one for one in files if one["fingerprint"] != bicubic["fingerprint"])
    assert stored["degradation"]["seed"] == 3 and stored["degradation"]["jpeg_range"] == [40, 95]
    assert stored["metrics"]["psnr"] < bicubic["metrics"]["psnr"]
    rows = list(csv.DictReader((place / "results/run/results.csv").open()))
    assert [json.loads(row["degradation"]) for row in rows if row["degradation"] != "pil"] == [stored["degradation"]]
    assert main(["test", "-opt", "realistic.yml"]) == 0
    assert "stored already" in capsys.readouterr().err
    content["datasets"]["test"]["degradation"]["jpeg_range"] = [80, 90]
    write_yaml(place / "realistic.yml", content)
    assert main(["test", "-opt", "realistic.yml"]) == 0
    assert len(result_files(place)) == 3  # another parameter, another result
    assert main(["report", "results/run", "-o", "out"]) == 0
    text = (place / "out/report.md").read_text().replace("\\", "")
    assert "| realistic (seed 3) |" in text and "run (LR: realistic (seed 3, jpeg_range [80, 90]))" in text
