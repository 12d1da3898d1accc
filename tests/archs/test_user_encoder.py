"""A module outside the package registers an encoder, and YAML alone trains with it."""

import sys

import torch
from train_helpers import stage_options, train, write_images, write_yaml

MODULE = """
from torch import nn
from clit_plugin.archs import ENCODER_REGISTRY

@ENCODER_REGISTRY.register()
class TwoConvsOfAUser(nn.Module):
    def __init__(self, *, width: int = 6):
        super().__init__()
        self.out_channels = width
        self.body = nn.Sequential(nn.Conv2d(3, width, 3, padding=1), nn.ReLU(), nn.Conv2d(width, width, 3, padding=1))

    def forward(self, x):
        return self.body(x)
"""


def write_run(folder, encoder):
    (folder / "encoder_of_a_user.py").write_text(MODULE)
    options = stage_options(write_images(folder / "hr", 2, (40, 44)), 1, name="user", total_iter=2)
    options["network_g"]["encoder"] = encoder
    options["custom_imports"] = {"imports": ["encoder_of_a_user"]}
    return write_yaml(folder / "user.yml", options)


def test_an_encoder_from_a_users_module_trains_from_yaml_alone(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    file = write_run(tmp_path, {"type": "TwoConvsOfAUser", "width": 5})
    assert train("-opt", file) == 0
    state = torch.load("experiments/user/models/net_g_latest.pth", weights_only=True)
    assert state["params"]["encoder.body.0.weight"].shape == (5, 3, 3, 3)
    # Its arguments are checked as those of our own.
    (tmp_path / "bad").mkdir()
    bad = write_run(tmp_path / "bad", {"type": "TwoConvsOfAUser", "widht": 5})
    assert train("-opt", bad) == 2
    assert "network_g.encoder.widht: unknown key; did you mean width?" in capsys.readouterr().err
    assert "encoder_of_a_user" in sys.modules


def test_an_arch_of_basicsr_serves_as_encoder_from_yaml_alone(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    options = stage_options(write_images(tmp_path / "hr", 2, (40, 44)), 1, name="tapped", total_iter=2)
    arch = {"type": "RRDBNet", "num_in_ch": 3, "num_out_ch": 3, "scale": 4}
    arch |= {"num_feat": 6, "num_block": 1, "num_grow_ch": 4}
    options["network_g"]["encoder"] = {"type": "BasicSRFeatures", "arch": arch, "layer": "conv_body"}
    assert train("-opt", write_yaml(tmp_path / "tapped.yml", options)) == 0
