"""``clit test`` and ``clit report``: what is stored, skipped, resumed and laid out, with bicubic as the network."""

import csv
import json
import os
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image
from train_helpers import write_images, write_yaml

from clit_plugin.commands.cli import main
from clit_plugin.models.cumulative_scale_model import CumulativeScaleModel


def options(images, **val):
    """Options that score bicubic on one set."""
    dataset = {"name": "tiny_x2", "dataroot_gt": str(images), "degradation": "pil", "scale": 2, "protocol": "benchmark"}
    metrics = {"psnr": {"type": "psnr_float"}, "ssim": {"type": "ssim_float"}}
    return {
        "name": "run",
        "num_gpu": 0,
        "network_g": {"type": "Bicubic"},
        "val": {"metrics": metrics, "pbar": False, **val},
        "datasets": {"test": dataset},
    }


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder to work in, with five images of 41 x 38 and the option file test.yml."""
    monkeypatch.chdir(tmp_path)
    write_yaml(tmp_path / "test.yml", options(write_images(tmp_path / "hr", 5, (41, 38))))
    return tmp_path


def results(place, name="run"):
    """Stored results by set."""
    files = sorted((place / "results" / name / "metrics").glob("*.json"))
    return {content["set"]: content for content in (json.loads(file.read_text()) for file in files)}


def scores(result):
    """All that is stored of every image but the time that it took."""
    return [{key: value for key, value in image.items() if key != "seconds"} for image in result["images"]]


def test_a_result_tells_all_that_decides_its_numbers(place):
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
    import hashlib

    import torch
    from train_helpers import TINY_NETWORK

    from clit_plugin.archs.build import build_network

    torch.save({"params": build_network(TINY_NETWORK).state_dict()}, "w.pth")
    content = options(place / "hr")
    content |= {"network_g": TINY_NETWORK, "path": {"pretrain_network_g": "w.pth"}}
    write_yaml(place / "net.yml", content)
    assert main(["test", "-opt", "net.yml"]) == 0
    digest = hashlib.sha256((place / "w.pth").read_bytes()).hexdigest()
    assert results(place)["tiny_x2"]["weights"]["sha256"] == digest


def test_a_second_run_computes_nothing_and_another_image_everything(place, monkeypatch, capsys):
    assert main(["test", "-opt", "test.yml"]) == 0
    seen = []
    original = CumulativeScaleModel.test
    monkeypatch.setattr(CumulativeScaleModel, "test", lambda self: (seen.append(self.image_name), original(self))[1])
    assert main(["test", "-opt", "test.yml"]) == 0
    assert seen == [] and "stored before" in capsys.readouterr().err
    Image.fromarray(np.full((41, 38, 3), 9, np.uint8)).save(place / "hr" / "0002.png")
    assert main(["test", "-opt", "test.yml"]) == 0
    assert len(seen) == 5


def test_an_interrupted_test_goes_on_from_the_image_where_it_stopped(place, monkeypatch):
    seen = []
    original = CumulativeScaleModel.test

    def interrupted(self):
        if len(seen) == 3:
            raise KeyboardInterrupt
        seen.append(self.image_name)
        original(self)

    monkeypatch.setattr(CumulativeScaleModel, "test", interrupted)
    assert main(["test", "-opt", "test.yml"]) == 130
    assert results(place) == {} and len(seen) == 3
    rest = []
    monkeypatch.setattr(CumulativeScaleModel, "test", lambda self: (rest.append(self.image_name), original(self))[1])
    assert main(["test", "-opt", "test.yml"]) == 0
    assert sorted(seen + rest) == [f"{i:04}" for i in range(1, 6)] and len(rest) == 2
    resumed = results(place)["tiny_x2"]
    assert main(["test", "-opt", "test.yml", "--again"]) == 0
    assert results(place)["tiny_x2"]["metrics"] == resumed["metrics"]


@pytest.mark.parametrize(
    ("scale", "lq", "gt", "shave"),
    # By hand: LR is the floor of 41 / s by 38 / s, HR is cropped to LR times s, rounded; the shave is s rounded up.
    # Of 2x3.5 the width's comes first.
    [("1.5", [27, 25], [40, 38], 2), ("3.7", [11, 10], [41, 37], 4), ("2x3.5", [11, 19], [38, 38], 4)],
)
def test_any_scale_has_the_documented_sizes(place, scale, lq, gt, shave):
    assert main(["test", "-opt", "test.yml", "--scales", scale]) == 0
    (result,) = results(place).values()
    image = result["images"][0]
    assert (image["lq_size"], image["gt_size"], image["shave"]) == (lq, gt, shave)


def test_a_missing_set_is_passed_over_with_the_folder_that_was_looked_for(place, capsys):
    content = options(place / "hr")
    content["datasets"]["test_2"] = {**content["datasets"]["test"], "name": "gone_x2", "dataroot_gt": "no/such/HR"}
    write_yaml(place / "two.yml", content)
    assert main(["test", "-opt", "two.yml"]) == 1
    assert "gone_x2: looked for no/such/HR" in capsys.readouterr().err
    assert set(results(place)) == {"tiny_x2"}


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("alpha", "expected an 8-bit RGB image, got RGBA"),
        ("16-bit", "expected an 8-bit RGB image, got I;16"),
        ("tiny", "2x2 at x2 is too small for the protocol benchmark"),
    ],
)
def test_an_image_that_cannot_be_scored_is_refused_by_name(place, capsys, kind, reason):
    folder = place / "odd"
    folder.mkdir()
    rng = np.random.default_rng(0)
    arrays = {
        "alpha": rng.integers(0, 256, (30, 31, 4), dtype=np.uint8),
        "16-bit": rng.integers(0, 65536, (30, 31), dtype=np.uint16),
        "tiny": rng.integers(0, 256, (3, 3, 3), dtype=np.uint8),
    }
    Image.fromarray(arrays[kind]).save(folder / "odd.png")
    assert main(["test", "-opt", "test.yml", "--folder", f"tiny={folder}"]) == 2
    error = capsys.readouterr().err.strip()
    assert f"odd.png: {reason}" in error and error.count("\n") == 0
    assert not (place / "results").exists()


def test_two_processes_store_what_one_does(place):
    assert main(["test", "-opt", "test.yml"]) == 0
    alone = results(place)["tiny_x2"]
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node=2", "--rdzv_backend=c10d"]
    command += ["--rdzv_endpoint=localhost:0", "-m", "clit_plugin", "test", "-opt", "test.yml", "--again"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(command, cwd=place, env=environment, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr[-2000:]
    both = results(place)["tiny_x2"]
    assert both["finished"] >= alone["finished"]
    assert both["metrics"] == alone["metrics"] and scores(both) == scores(alone)


def test_the_report_has_our_row_and_the_papers_and_escapes_names(place):
    content = options(place / "hr")
    content["name"] = "bicubic"
    content["datasets"] = {
        f"test_{scale}": {**content["datasets"]["test"], "name": f"Set5_x{scale}", "scale": scale} for scale in (2, 3)
    }
    write_yaml(place / "set5.yml", content)
    assert main(["test", "-opt", "set5.yml"]) == 0
    assert main(["report", "results", "-o", "out", "--title", "<script>alert(1)</script>"]) == 0
    html, markdown = (place / "out/report.html").read_text(), (place / "out/report.md").read_text()
    assert "<script" not in html and "&lt;script&gt;" in html
    assert "http://" not in html.replace("http://www.w3.org", "") and "https://" not in html.split("</style>")[0]
    for text in (html, markdown):
        assert "RDN-LIIF" in text and "38.17" in text  # Table 2, x2
        assert f"{results(place, 'bicubic')['Set5_x2']['metrics']['psnr']:.2f}" in text
    assert "0001" in markdown  # worst and best images


@pytest.fixture
def set5(place):
    """A report of bicubic interpolation on "Set5", five images, at x2 and x3."""
    content = options(place / "hr")
    content["name"] = "bicubic"
    content["datasets"] = {
        f"test_{scale}": {**content["datasets"]["test"], "name": f"Set5_x{scale}", "scale": scale} for scale in (2, 3)
    }
    write_yaml(place / "set5.yml", content)
    assert main(["test", "-opt", "set5.yml"]) == 0
    assert main(["report", "results", "-o", "out"]) == 0
    return place / "out"


def test_a_report_has_only_columns_with_results_and_says_what_its_marks_are(set5):
    html, markdown = (set5 / "report.html").read_text(), (set5 / "report.md").read_text()
    assert "| Method | Set5 ×2 | Set5 ×3 |\n" in markdown
    assert "**bold**: the best, *italic*: the second best of a column among the rows of one encoder" in markdown
    assert '<span class="first">bold</span>: the best, <span class="second">underlined</span>' in html
    # Of bicubic interpolation the paper has no row, so that no difference may be promised.
    assert "its difference to the paper" not in html


def test_a_difference_to_the_paper_is_promised_where_there_is_one(place, set5):
    for file in (place / "results/bicubic/metrics").glob("*.json"):
        result = json.loads(file.read_text())
        result["options"]["network_g"] = {"type": "LIIF", "encoder": {"type": "RDN"}}
        result["weights"] = {"path": "w.pth", "sha256": "0" * 64, "param_key": "params_ema"}
        file.write_text(json.dumps(result))
    assert main(["report", "results", "-o", "out"]) == 0
    markdown = (set5 / "report.md").read_text()
    ours = round(results(place, "bicubic")["Set5_x2"]["metrics"]["psnr"], 2)
    assert "below a figure of ours its difference to the paper's" in markdown
    assert f"| ours: bicubic | **{ours:.2f}** ({ours - 38.17:+.2f}) |" in markdown  # RDN-LIIF's in Table 2
    assert "| bicubic | params\\_ema | Set5 | ×2 |" in markdown


def test_the_worst_and_the_best_image_are_shown(place, set5):
    result = results(place, "bicubic")["Set5_x2"]
    ordered = sorted(result["images"], key=lambda image: image["metrics"]["psnr"])
    kept = {file.stem for file in (place / "results/bicubic/crops").glob("Set5_x2-*/*.png")}
    assert kept == {ordered[0]["image"], ordered[-1]["image"]}
    html, markdown = (set5 / "report.html").read_text(), (set5 / "report.md").read_text()
    for word, image in (("worst", ordered[0]), ("best", ordered[-1])):
        assert f"bicubic, Set5 ×2, {word}: {image['image']}, {image['metrics']['psnr']:.2f} dB" in html
        name = f"{word}_bicubic_Set5_x2_{result['fingerprint']}.png"
        assert f"({name})" in markdown and Image.open(set5 / name).width > 3 * 38
    assert html.count("data:image/png;base64,") == 4


def test_results_tell_what_a_network_costs_and_how_long_it_took(place):
    import torch
    from train_helpers import TINY_NETWORK

    from clit_plugin.archs.build import build_network
    from clit_plugin.evaluation.multiply_adds import count_multiply_adds

    net = build_network(TINY_NETWORK)
    torch.save({"params": net.state_dict(), "network_g": TINY_NETWORK}, "w.pth")
    assert main(["test", "--weights", "w.pth", "--folder", "m=hr", "--scales", "2"]) == 0
    (row,) = csv.DictReader((place / "results/w/results.csv").open())
    assert int(row["parameters"]) == sum(value.numel() for value in net.parameters())
    assert float(row["multiply_adds_1280x720"]) == count_multiply_adds(TINY_NETWORK, (2, 2))
    assert float(row["seconds_per_image"]) > 0


def test_results_of_before_are_reported_without_what_they_lack(place, set5):
    for file in (place / "results/bicubic/metrics").glob("*.json"):
        result = json.loads(file.read_text())
        del result["parameters"], result["multiply_adds"]
        for image in result["images"]:
            del image["seconds"]
        file.write_text(json.dumps(result))
    assert main(["report", "results", "-o", "out"]) == 0
    assert "| 5 | 2 | - | - | - |" in (set5 / "report.md").read_text()


def test_a_report_of_nothing_is_one_line(place, capsys):
    assert main(["report", "nowhere"]) == 2
    assert "nowhere: no such file or folder" in capsys.readouterr().err


@pytest.mark.parametrize(
    "change",
    [
        lambda result: result.update(images=[]),
        lambda result: result["images"][0].pop("shave"),
        lambda result: result.pop("data_sha256"),
        lambda result: result["options"]["network_g"].update(encoder="EDSR"),
        lambda result: result["images"][1]["metrics"].clear(),
        lambda result: result["images"][0].update(lq_size=[3]),
    ],
)
def test_a_result_that_was_damaged_is_one_line_in_a_report(place, capsys, change):
    assert main(["test", "-opt", "test.yml"]) == 0
    (file,) = (place / "results/run/metrics").glob("*.json")
    result = json.loads(file.read_text())
    change(result)
    file.write_text(json.dumps(result))
    capsys.readouterr()
    assert main(["report", "results", "-o", "out"]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and file.name in error and "damaged" in error


def test_a_file_of_another_kind_is_named_without_its_content(place, capsys):
    assert main(["report", str(place / "hr" / "0001.png")]) == 2
    error = capsys.readouterr().err
    assert "0001.png: not a result of 'clit test'" in error and len(error) < 300


def test_a_damaged_file_among_the_results_does_not_stop_a_test(place):
    assert main(["test", "-opt", "test.yml"]) == 0
    (place / "results/run/metrics/zz.json").write_text("{")
    with pytest.warns(UserWarning, match=r"zz\.json: not a result of 'clit test'.*remove it"):
        assert main(["test", "-opt", "test.yml", "--scales", "3"]) == 0
    rows = list(csv.DictReader((place / "results/run/results.csv").open()))
    assert [row["set"] for row in rows] == ["tiny_x2", "tiny_x3"]


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["--folder", "m=hr", "m=lr", "--scales", "2"], "--folder: m is given twice, as hr and lr"),
        (["--scales", "2", "2.0000001"], "--scales: 2.0 and 2.0000001 are too close to tell apart"),
    ],
)
def test_what_would_share_a_name_is_refused(place, capsys, arguments, error):
    assert main(["test", "-opt", "test.yml", *arguments]) == 2
    assert error in capsys.readouterr().err


def test_a_scale_given_twice_is_tested_once(place):
    assert main(["test", "-opt", "test.yml", "--scales", "3", "3.0", "3x3"]) == 0
    assert list(results(place)) == ["tiny_x3"]


def test_realistic_lr_is_told_with_all_its_parameters_and_apart_from_bicubic_lr(place, capsys):
    content = options(place / "hr")
    content["datasets"]["test"]["degradation"] = {"type": "realistic", "seed": 3}
    write_yaml(place / "realistic.yml", content)
    assert main(["test", "-opt", "test.yml"]) == 0
    bicubic = results(place)["tiny_x2"]
    assert main(["test", "-opt", "realistic.yml"]) == 0
    files = [json.loads(file.read_text()) for file in (place / "results/run/metrics").glob("*.json")]
    (stored,) = (one for one in files if one["fingerprint"] != bicubic["fingerprint"])
    assert stored["degradation"]["seed"] == 3 and stored["degradation"]["jpeg_range"] == [60, 95]
    assert stored["metrics"]["psnr"] < bicubic["metrics"]["psnr"]
    rows = list(csv.DictReader((place / "results/run/results.csv").open()))
    assert [json.loads(row["degradation"]) for row in rows if row["degradation"] != "pil"] == [stored["degradation"]]
    assert main(["test", "-opt", "realistic.yml"]) == 0
    assert "stored before" in capsys.readouterr().err
    content["datasets"]["test"]["degradation"]["jpeg_range"] = [80, 90]
    write_yaml(place / "realistic.yml", content)
    assert main(["test", "-opt", "realistic.yml"]) == 0
    assert len(list((place / "results/run/metrics").glob("*.json"))) == 3  # another parameter, another result
    assert main(["report", "results/run", "-o", "out"]) == 0
    text = (place / "out/report.md").read_text().replace("\\", "")
    assert "| realistic (seed 3) |" in text and "run (LR: realistic (seed 3, jpeg_range [80, 90]))" in text


def test_a_realistic_test_gives_the_same_figures_again(place):
    command = ["test", "-opt", "test.yml", "--degradation", "realistic", "--scales", "1.7x2.5"]
    assert main(command) == 0
    first = results(place)["tiny_x1.7x2.5"]
    assert first["degradation"]["type"] == "realistic" and first["degradation"]["seed"] == 0
    assert main([*command, "--again"]) == 0
    assert scores(results(place)["tiny_x1.7x2.5"]) == scores(first)


def test_an_inherited_kernel_is_replaced_by_a_realistic_degradation(place):
    write_yaml(
        place / "child.yml",
        {
            "_base_": "test.yml",
            "name": "child",
            "datasets": {"test": {"degradation": {"_delete_": True, "type": "realistic", "jpeg_prob": 0}}},
        },
    )
    assert main(["test", "-opt", "child.yml"]) == 0
    assert results(place, "child")["tiny_x2"]["degradation"]["jpeg_prob"] == 0
