"""BasicSR's own pipelines, called by a script of two lines, as its users have them."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
import yaml
from basicsr_file import FILE
from tiny_networks import TINY_NETWORK
from train_helpers import log_of, stage_options, train, weights, write_images, write_lr, write_yaml

ROOT = Path(__file__).parents[2]


def call(script: str, *arguments: str, python: Path | str = sys.executable) -> subprocess.CompletedProcess:
    """Run one of the two scripts in the working directory."""
    Path(f"{script}.py").write_text(
        f"import clit_plugin\nfrom basicsr.{script} import {script}_pipeline\n\n{script}_pipeline('.')\n"
    )
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    command = [python, f"{script}.py", *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)


def clit(python: Path, *arguments: str) -> subprocess.CompletedProcess:
    command = [python, "-m", "clit_plugin.train", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)


@pytest.fixture
def place(tmp_path, monkeypatch) -> Path:
    """The working directory, with HR images and their LR at x2."""
    monkeypatch.chdir(tmp_path)
    write_images(tmp_path / "hr", 2, (40, 44))
    write_lr(tmp_path / "hr", tmp_path / "pairs", 2)
    (tmp_path / "lr").mkdir()
    for file in (tmp_path / "pairs").iterdir():
        file.rename(tmp_path / "lr" / file.name.replace("x2", ""))
    return tmp_path


def as_people_have_it(place: Path) -> str:
    options = yaml.safe_load(FILE) | {"network_g": TINY_NETWORK}
    return write_yaml(place / "people.yml", options)


def test_basicsrs_own_entry_trains_and_resumes_an_ordinary_file(place, commands):
    file = as_people_have_it(place)
    first = call("train", "-opt", file, "--force_yml", "train:total_iter=2", python=commands / "python")
    assert first.returncode == 0, first.stderr
    assert "people.yml: dist_params: ignored; torchrun" in first.stderr
    assert "people.yml: datasets.train.lq_size: 8, as gt_size is 16 at scale 2" in first.stderr
    resumed = call("train", "-opt", file, "--auto_resume", python=commands / "python")
    assert resumed.returncode == 0, resumed.stderr
    assert "Resuming training from epoch: 0, iter: 2" in log_of(place, "as_people_have_it")
    assert torch.load("experiments/as_people_have_it/models/net_g_latest.pth", weights_only=True)["iter"] == 4


def test_basicsrs_own_entry_trains_to_the_bits_of_clit_train(place, commands, monkeypatch):
    """On an ordinary file of this package, with inheritance and without a section that has defaults."""
    options = stage_options(place / "hr", 1, name="s1")
    del options["logger"]["use_tb_logger"], options["val"]["pbar"]
    write_yaml(place / "base.yml", options)
    (place / "s1.yml").write_text("_base_: base.yml\ntrain: {optim_g: {lr: 2e-3}}\n")
    assert call("train", "-opt", "s1.yml", python=commands / "python").returncode == 0
    (place / "other").mkdir()
    monkeypatch.chdir(place / "other")
    assert clit(commands / "python", "-opt", "../s1.yml").returncode == 0
    for key, value in weights(place / "other", "s1").items():
        assert torch.equal(weights(place, "s1")[key], value), key


def test_basicsrs_own_entry_tests_an_ordinary_file(place, commands):
    write_yaml(place / "s1.yml", stage_options(place / "hr", 1, name="s1", total_iter=1))
    assert train("-opt", "s1.yml") == 0
    given = yaml.safe_load(FILE)
    test = {"name": "scored", "model_type": "SRModel", "scale": 2, "num_gpu": 1, "manual_seed": 0}
    test |= {"datasets": {"test_1": given["datasets"]["val"]}, "network_g": TINY_NETWORK}
    test |= {"path": {"pretrain_network_g": "experiments/s1/models/net_g_latest.pth", "strict_load_g": True}}
    test |= {"val": {"save_img": True, "suffix": None, "metrics": given["val"]["metrics"]}}
    run = call("test", "-opt", write_yaml(place / "test.yml", test), python=commands / "python")
    assert run.returncode == 0, run.stderr
    assert "Validation Set5" in next(Path("results/scored").glob("test_*.log")).read_text()
    assert len(list(Path("results/scored/visualization/Set5").glob("*.png"))) == 2
    assert (place / "results/scored/results.csv").is_file()


def test_basicsrs_own_entry_reports_all_problems_and_writes_nothing(place, commands):
    options = yaml.safe_load(FILE) | {"network_g": TINY_NETWORK, "nmae": 1}
    options["train"]["total_itr"] = 1
    run = call("train", "-opt", write_yaml(place / "bad.yml", options), python=commands / "python")
    assert run.returncode == 2
    lines = [line for line in run.stderr.splitlines() if line.startswith("train.py: error: ")]
    assert [line.split(": ")[3] for line in lines] == ["nmae", "train.total_itr"]
    assert not (place / "experiments").exists()


def test_a_file_for_basicsrs_own_models_is_left_to_basicsr(place):
    options = yaml.safe_load(FILE)
    arch = {"type": "EDSR", "num_in_ch": 3, "num_out_ch": 3, "num_feat": 4, "num_block": 1, "upscale": 2}
    options |= {"num_gpu": 0, "network_g": arch}
    run = call("train", "-opt", write_yaml(place / "edsr.yml", options))
    assert run.returncode == 0, run.stderr
    assert "Model [SRModel] is created" in log_of(place, "as_people_have_it")
    assert "ignored" not in run.stderr


# ---------------------------------------------------------------------- what is saved runs again

MODULE = """
from torch import nn
from clit_plugin.archs import ENCODER_REGISTRY

@ENCODER_REGISTRY.register()
class OneConvolution(nn.Module):
    def __init__(self, *, width: int = 6):
        super().__init__()
        self.out_channels = width
        self.body = nn.Conv2d(3, width, 3, padding=1)

    def forward(self, x):
        return self.body(x)
"""


def test_the_saved_option_file_trains_to_the_same_weights(place, commands):
    """With a module beside the first file, inheritance, an override, and the weights of the stage before."""
    (place / "mine").mkdir()
    (place / "mine" / "one_convolution.py").write_text(MODULE)
    for n in (1, 2):
        options = stage_options(place / "hr", n, name=f"s{n}", total_iter=2)
        options["network_g"]["encoder"] = {"type": "OneConvolution"}
        options["custom_imports"] = {"imports": ["one_convolution"]}
        write_yaml(place / "mine" / f"base{n}.yml", options)
        (place / "mine" / f"s{n}.yml").write_text(f"_base_: base{n}.yml\ntrain: {{ema_decay: 0.5}}\n")
    run = clit(commands / "python", "-opt", "mine/s1.yml", "mine/s2.yml", "--set", "train.optim_g.lr=2e-3")
    assert run.returncode == 0, run.stderr
    saved = (place / "experiments/s2/s2.yml").read_text()
    assert "clit_plugin.train -opt mine/s1.yml mine/s2.yml --set train.optim_g.lr=2e-3" in saved
    assert "#   clit train -opt experiments/s2/s2.yml\n" in saved
    assert "_base_" not in saved
    before = weights(place, "s2")
    for _ in range(2):  # the second time from what the first has saved
        time.sleep(1)  # BasicSR names the folder that it moves aside by the second
        again = clit(commands / "python", "-opt", "experiments/s2/s2.yml")
        assert again.returncode == 0, again.stderr
        for key, value in weights(place, "s2").items():
            assert torch.equal(before[key], value), key


def test_the_saved_option_file_has_the_given_options_and_no_defaults(place):
    options = stage_options(place / "hr", 1, name="s1", total_iter=1)
    assert train("-opt", write_yaml(place / "s1.yml", options)) == 0
    assert yaml.safe_load((place / "experiments/s1/s1.yml").read_text()) == options
