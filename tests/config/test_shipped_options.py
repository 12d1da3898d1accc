"""Every shipped training file trains and validates for real, shrunk in size only."""

import re
import shutil
from pathlib import Path

import pytest
import torch
from train_helpers import log_of, to_lmdb, train, write_images, write_lr

from clit_plugin.archs.build import build_network
from clit_plugin.config.option_checks import load_option_file
from clit_plugin.config.options import Options

ROOT = Path(__file__).parents[2]
TRAIN_FILES = sorted((ROOT / "options" / "train").glob("*.yml"))
TEST_FILES = sorted((ROOT / "options" / "test").glob("*.yml"))
SMALL_ENCODERS = {
    "EDSRBaseline": {"num_feat": 8, "num_block": 1},
    "RDN": {"num_feat": 8, "num_block": 2, "num_layer": 2, "growth": 4},
    "SwinIR": {"embed_dim": 12, "depths": [2], "num_heads": [2], "window_size": 4, "img_size": 12},
}
SMALL_NETWORKS = {
    "CLIT": {"dim": 8, "num_heads": 2, "decoder_hidden": [8, 8]},
    "LIIF": {"decoder_hidden": [8, 8]},
    "IPE": {"decoder_hidden": [8, 8]},
    "LTE": {"width": 8, "decoder_hidden": [8, 8]},
    "UltraSR": {"width": 8},
    "MetaSR": {"width": 8},
}
# Every file reads LMDBs in these tests; the stages read folders, too.
DATA = [(file, suffix) for file in TRAIN_FILES for suffix in ("", ".lmdb") if suffix or "stage" in file.stem]


@pytest.fixture(scope="session")
def tiny_sets(tmp_path_factory) -> dict[str, Path]:
    """HR images and their LR at x2 to x4, as folders and LMDBs: by name, 'hr', 'hr.lmdb', 'x2', ..."""
    root = tmp_path_factory.mktemp("sets")
    folders = {"hr": write_images(root / "hr", 2, (120, 108))}
    folders |= {f"x{scale}": write_lr(folders["hr"], root / f"x{scale}", scale) for scale in (2, 3, 4)}
    return folders | {f"{name}.lmdb": to_lmdb(folder) for name, folder in folders.items()}


def shrink_network(options: Options) -> list[str]:
    """Overrides that make the network small."""
    if "encoder" not in options.network_g:  # bicubic
        return []
    sizes = {f"encoder.{key}": value for key, value in SMALL_ENCODERS[options.network_g["encoder"]["type"]].items()}
    return [f"network_g.{key}={value}" for key, value in (sizes | small_sizes(options.network_g)).items()]


def small_sizes(network: dict) -> dict:
    """A small network of the same kind; the local grids of Table 4 stay."""
    sizes = dict(SMALL_NETWORKS[network["type"]])
    if network.get("local_grid") == 7:
        sizes["local_grid"] = 3
    if network.get("frequency_channels"):
        sizes["frequency_channels"] = 2
    return sizes


def place_data(options: Options, sets: dict[str, Path], suffix: str) -> list[str]:
    """Overrides that point every set at the tiny images."""
    places = []
    for name, dataset in options.datasets.by_key.items():
        places.append(f"datasets.{name}.dataroot_gt={sets['hr' + suffix]}")
        if dataset.dataroot_lq:
            folder = f"x{dataset.scale:g}{suffix}"
            places.append(f"datasets.{name}.dataroot_lq={sets[folder]}")
    return places


@pytest.mark.parametrize(("file", "suffix"), DATA, ids=[f"{file.stem}{suffix}" for file, suffix in DATA])
def test_a_shipped_training_file_trains_and_validates(file, suffix, tiny_sets, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    options = load_option_file(file, is_train=True).options
    steps = len(options.datasets.train.scale_ranges)  # one of every alternative
    small = [
        *shrink_network(options),
        *place_data(options, tiny_sets, suffix),
        "datasets.train.lq_size=8",
        "datasets.train.batch_size_per_gpu=2",
        "datasets.train.num_worker_per_gpu=0",
        "datasets.train.persistent_workers=false",
        "datasets.train.pin_memory=false",
        "num_gpu=0",
        f"train.total_iter={steps}",
        f"val.val_freq={steps}",
        "val.pbar=false",
        "logger.print_freq=1",
        f"logger.save_checkpoint_freq={steps}",
        "path.pretrain_network_g=null",
    ]
    assert train("-opt", str(file), "--set", *small) == 0
    log = log_of(tmp_path, options.name)
    assert f"iter:{steps:8,d}" in log
    for name, dataset in options.datasets.by_key.items():
        if name != "train":
            assert f"Validation {dataset.name}" in log
    assert "nan" not in log


@pytest.mark.parametrize("file", TRAIN_FILES, ids=lambda file: file.stem)
def test_every_trainable_parameter_gets_a_gradient_in_its_stage(file):
    options = load_option_file(file, is_train=True).options
    network = options.network_g
    network["encoder"].update(SMALL_ENCODERS[network["encoder"]["type"]])
    net = build_network({**network, **small_sizes(network)})
    longest = max(options.datasets.train.scale_ranges, key=len)
    stages = [(8 * 2**i, 8 * 2**i) for i in range(1, len(longest))]
    coord = torch.rand(2, 40, 2) * 2 - 1
    net(torch.rand(2, 3, 8, 8), coord, torch.full((2, 2), 0.05), stages).abs().sum().backward()
    gradients = {name: p.grad for name, p in net.named_parameters() if p.requires_grad}
    assert [name for name, grad in gradients.items() if grad is None] == []
    # A constant added to all logits does not change a softmax, so this one's gradient is rounding.
    gradients.pop("pos_bias.bias", None)
    if network.get("local_grid") == 1:  # the softmax of a single pixel is 1, whatever the logits
        gradients = {n: g for n, g in gradients.items() if not re.search(r"pos_bias|to_q|to_k", n)}
    assert [name for name, grad in gradients.items() if not grad.any()] == []


def test_the_table_of_rows_lists_exactly_the_training_files():
    text = (ROOT / "options" / "README.md").read_text()
    named = set(re.findall(r"`(train/[a-z0-9_]+\.yml)`", text))
    files = {f"train/{file.name}" for file in TRAIN_FILES if not file.stem.startswith("demo")}
    assert named == files


@pytest.mark.parametrize("file", [f for f in TRAIN_FILES if not f.stem.startswith("demo")], ids=lambda file: file.stem)
def test_a_file_that_fine_tunes_names_a_shipped_file_and_its_network(file):
    options = load_option_file(file, is_train=True).options
    weights = options.path.pretrain_network_g
    if weights is None:
        return
    before = load_option_file(ROOT / "options" / "train" / f"{Path(weights).parts[1]}.yml", is_train=True).options
    assert weights == f"experiments/{before.name}/models/net_g_latest.pth"
    assert before.network_g["type"] == options.network_g["type"]
    assert before.network_g["encoder"] == options.network_g["encoder"]


def test_the_demo_chain_names_the_stage_before():
    options = load_option_file(ROOT / "options/train/demo_stage2.yml", is_train=True).options
    before = load_option_file(ROOT / "options/train/demo_stage1.yml", is_train=True).options
    assert options.path.pretrain_network_g == f"experiments/{before.name}/models/net_g_latest.pth"


@pytest.mark.parametrize("file", TEST_FILES, ids=lambda file: file.stem)
def test_a_shipped_test_file_scores_trained_weights(file, tiny_sets, tmp_path, monkeypatch):
    from clit_plugin.commands.cli import main

    monkeypatch.chdir(tmp_path)
    options = load_option_file(file, is_train=False).options
    chosen = [name for name, dataset in options.datasets.by_key.items() if (dataset.scale or 0) <= 6]
    shrunk = shrink_network(options)
    network = load_option_file(file, is_train=False, overrides=shrunk).options.network_g
    weights = build_network(network).state_dict()
    torch.save({"params": weights}, "weights.pth")
    copy = tmp_path / "options"
    shutil.copytree(ROOT / "options", copy)
    dropped = [f"datasets.{name}.max_images=1" for name in chosen]
    dropped += [f"datasets.{name}.scale=6" for name in options.datasets.by_key if name not in chosen]
    small = [*shrunk, *place_data(options, tiny_sets, ".lmdb"), *dropped, "num_gpu=0"]
    arguments = ["test", "-opt", str(copy / "test" / file.name), "--set", *small]
    given = ["path.pretrain_network_g=weights.pth"] if weights else []
    assert main([*arguments, *given, "val.pbar=false"]) == 0
    log = next((tmp_path / "results" / options.name).glob("*.log")).read_text()
    assert "Validation DIV2K_x2" in log
    assert "Validating Set5_x3 (benchmark: Y, shave scale)" in log
