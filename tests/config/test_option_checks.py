"""Options as a whole: what is refused, with which words, and before anything is written."""

import copy
import os
import textwrap
from dataclasses import fields
from pathlib import Path

import pytest
import torch
import yaml
from PIL import Image
from train_helpers import TINY_NETWORK, stage_options, to_lmdb, write_images, write_lr

from clit_plugin.archs.build import build_network
from clit_plugin.commands.cli import main
from clit_plugin.config.option_checks import SECTIONS, check_options, load_options
from clit_plugin.utils.errors import UserError

ROOT = Path(__file__).parents[2]
TRAIN_FILES = sorted((ROOT / "options" / "train").glob("*.yml"))
TEST_FILES = sorted((ROOT / "options" / "test").glob("*.yml"))
# The nine runs of the paper: epochs and the epochs at which the rate is halved, by stage (section 4.1).
PAPER_EPOCHS = {1: (1000, [200, 400, 600, 800]), 2: (1000, [200, 400, 600, 800]), 3: (1500, [300, 600, 900, 1200])}
PAPER_RUNS = [(encoder, stage) for encoder in ("edsr", "rdn", "swinir") for stage in PAPER_EPOCHS]
HINT = "a text in YAML: write the number without quotes"


@pytest.fixture(scope="session")
def tiny_images(tmp_path_factory) -> Path:
    """Two images of 40 x 44."""
    return write_images(tmp_path_factory.mktemp("options") / "hr", 2, (40, 44))


@pytest.fixture
def good(tiny_images) -> dict:
    """Options of a tiny stage 1 that would train."""
    return copy.deepcopy(stage_options(tiny_images, 1, name="good"))


@pytest.fixture
def refused(tmp_path, good):
    """The lines with which a file is refused that inherits ``good`` and has this text as well."""
    (tmp_path / "good.yml").write_text(yaml.safe_dump(good))

    def message(text: str, *overrides: str, is_train: bool = True) -> str:
        (tmp_path / "bad.yml").write_text("_base_: good.yml\n" + textwrap.dedent(text))
        with pytest.raises(UserError) as caught:
            load_options(tmp_path / "bad.yml", is_train=is_train, overrides=overrides)
        lines = str(caught.value).split("\n")
        assert lines == caught.value.problems
        assert all(line.startswith(f"{tmp_path}/bad.yml: ") for line in lines)
        return "\n".join(line.removeprefix(f"{tmp_path}/bad.yml: ") for line in lines)

    return message


# ---------------------------------------------------------------------- keys

MISSPELT = [
    ("nmae: x", "nmae", "name"),
    ("network: {}", "network", "network_g"),
    ("manual_seeds: 1", "manual_seeds", "manual_seed"),
    ("path: {pretrain_network: x.pth}", "path.pretrain_network", "pretrain_network_g"),
    ("path: {param_key: params}", "path.param_key", "param_key_g"),
    ("train: {total_iters: 5}", "train.total_iters", "total_iter"),
    ("train: {ema_decya: 0.9}", "train.ema_decya", "ema_decay"),
    ("train: {optim_g: {weigth_decay: 0.1}}", "train.optim_g.weigth_decay", "weight_decay"),
    ("train: {scheduler: {milestone: [1]}}", "train.scheduler.milestone", "milestones"),
    ("train: {pixel_opt: {loss_wieght: 1.0}}", "train.pixel_opt.loss_wieght", "loss_weight"),
    ("val: {val_frq: 5}", "val.val_frq", "val_freq"),
    ("val: {metrics: {psnr: {crop_boarder: 4}}}", "val.metrics.psnr.crop_boarder", "crop_border"),
    ("val: {metrics: {p: {type: calculate_psnr, input_ordre: HWC}}}", "val.metrics.p.input_ordre", "input_order"),
    ("logger: {print_frequency: 5}", "logger.print_frequency", "print_freq"),
    ("logger: {save_checkpoint_frq: 5}", "logger.save_checkpoint_frq", "save_checkpoint_freq"),
    ("datasets: {train: {dataroot_g: x}}", "datasets.train.dataroot_g", "dataroot_gt"),
    ("datasets: {train: {scale_range: [[[1, 4]]]}}", "datasets.train.scale_range", "scale_ranges"),
    ("datasets: {train: {batch_size: 5}}", "datasets.train.batch_size", "batch_size_per_gpu"),
    ("datasets: {val: {protocoll: div2k}}", "datasets.val.protocoll", "protocol"),
    ("datasets: {val: {scales: 3}}", "datasets.val.scales", "scale"),
    ("network_g: {num_branch: 1}", "network_g.num_branch", "num_branches"),
    ("network_g: {encoder: {num_feats: 8}}", "network_g.encoder.num_feats", "num_feat"),
    ("network_g: {encoder: {_delete_: true, type: SwinIR, window: 4}}", "network_g.encoder.window", "window_size"),
]


@pytest.mark.parametrize(("text", "key", "nearest"), MISSPELT, ids=[key for _, key, _ in MISSPELT])
def test_a_misspelt_key_is_refused_with_the_nearest(refused, text, key, nearest):
    assert refused(text) == f"{key}: unknown key; did you mean {nearest}?"


@pytest.mark.parametrize("text", ["datasets: {trian: {}}", "datasets: {test: {}}", "datasets: {trainval: {}}"])
def test_a_set_of_no_phase_of_training_is_refused(refused, text):
    assert "unknown key; sets are named train, val, val_2, ..." in refused(text)


def test_a_training_set_is_refused_in_a_test(refused):
    assert refused("", is_train=False).startswith("datasets.train: unknown key; sets are named test, test_2, ..., val")


MISSING = [
    ("train: {_delete_: true}", "train.total_iter: missing"),
    ("datasets: {train: {_delete_: true, name: a}}", "datasets.train.dataroot_gt: missing"),
    ("datasets: {_delete_: true}", "datasets.train: missing"),
    ("datasets: {val: {protocol: null}}", "datasets.val.protocol: expected one of div2k, benchmark, got None"),
    ("network_g: {_delete_: true, type: CLIT}", "network_g.encoder: missing; CLIT needs it"),
    ("network_g: {_delete_: true}", "network_g.type: missing; one of Bicubic, CLIT, IPE"),
    ("network_g: {encoder: {_delete_: true}}", "network_g.encoder.type: missing; one of BasicSRFeatures, EDSR"),
    ("train: {optim_g: {_delete_: true, lr: 0.1}}", "train.optim_g.type: missing; one of Adam"),
    ("train: {optim_g: {_delete_: true, type: Adam}}", "train.optim_g.lr: missing"),
    ("train: {scheduler: {_delete_: true}}", "train.scheduler.type: missing; one of MultiStepLR"),
    ("train: {scheduler: {_delete_: true, type: MultiStepLR}}", "train.scheduler.milestones: missing"),
    ("train: {pixel_opt: {_delete_: true}}", "train.pixel_opt.type: missing; one of CharbonnierLoss"),
    ("val: {metrics: {psnr: {_delete_: true}}}", "val.metrics.psnr.type: missing; one of calculate_niqe"),
]


@pytest.mark.parametrize(("text", "message"), MISSING, ids=[message.split(":")[0] for _, message in MISSING])
def test_a_missing_key_is_refused(refused, text, message):
    assert refused(text).startswith(message)


@pytest.mark.parametrize("name", ["name", "network_g", "datasets", "train"])
def test_a_missing_section_is_refused(good, name):
    del good[name]
    with pytest.raises(UserError, match=rf"^{name}.*: missing"):
        check_options(good, is_train=True)


def test_everything_that_is_wrong_is_told_at_once(refused, tmp_path):
    text = """
    nmae: x
    manual_seed: -1
    train: {total_itr: 3, ema_decay: 2, optim_g: {lr: fast}, scheduler: {gama: 1}, pixel_opt: {type: L1Los}}
    val: {val_freq: 0, metrics: {psnr: {type: pnsr}, ssim: {type: ssim_float, crop_boarder: 1}}}
    logger: {print_freq: x}
    network_g: {dmi: 8, local_grid: x, encoder: {type: RDM}}
    datasets:
      train: {lq_size: 0, num_queries: x}
      val: {_delete_: true, name: a, dataroot_gt: absent}
      val_2: {name: b, dataroot_gt: absent, degradation: pil, scale: 2, protocol: div2k}
    """
    told = [line.split(": ")[0] for line in refused(text).split("\n")]
    assert len(set(told)) == len(told)
    assert set(told) == {
        "nmae",
        "manual_seed",
        "train.total_itr",
        "val.val_freq",
        "val.metrics.psnr.type",
        "val.metrics.ssim.crop_boarder",
        "logger.print_freq",
        "network_g.dmi",
        "network_g.local_grid",
        "network_g.encoder.type",
        "datasets.train.num_queries",
        "datasets.val.protocol",
        "datasets.val_2",
    }


def test_everything_wrong_in_a_good_section_is_told_at_once(refused):
    text = "train: {total_iter: 0, ema_decay: 2, optim_g: {lr: -1}, scheduler: {gama: 1}, pixel_opt: {type: L1Los}}"
    told = [line.split(": ")[0] for line in refused(text).split("\n")]
    expected = ["train.optim_g", "train.total_iter", "train.scheduler.gama", "train.pixel_opt.type", "train.ema_decay"]
    assert told == expected


def test_everything_wrong_in_a_set_is_told_at_once(refused):
    train = "{lq_size: 0, batch_size_per_gpu: 0, num_worker_per_gpu: -1, filename_tmpl: x, degradation: null}"
    told = [line.split(": ")[0] for line in refused(f"datasets: {{train: {train}}}").split("\n")]
    keys = ["degradation", "filename_tmpl", "batch_size_per_gpu", "lq_size", "num_worker_per_gpu"]
    assert told == [f"datasets.train.{key}" for key in keys]


# ---------------------------------------------------------------------- names of what is registered

UNKNOWN = [
    ("network_g: {type: CLTI}", "network_g.type", "CLTI", "CLIT"),
    ("network_g: {encoder: {type: EDSRBasline}}", "network_g.encoder.type", "EDSRBasline", "EDSRBaseline"),
    ("train: {optim_g: {type: Adma}}", "train.optim_g.type", "Adma", "Adam"),
    ("train: {scheduler: {type: MultiStep}}", "train.scheduler.type", "MultiStep", "MultiStepLR"),
    ("train: {pixel_opt: {type: L1}}", "train.pixel_opt.type", "L1", None),
    ("train: {pixel_opt: {type: L1Los}}", "train.pixel_opt.type", "L1Los", "L1Loss"),
    ("val: {metrics: {psnr: {type: pnsr_float}}}", "val.metrics.psnr.type", "pnsr_float", "psnr_float"),
    ("model_type: CumulativeModel", "model_type", "CumulativeModel", "CumulativeScaleModel"),
    ("datasets: {val: {protocol: div2}}", "datasets.val.protocol", "div2", "div2k"),
    ("datasets: {val: {protocol: benchmarks}}", "datasets.val.protocol", "benchmarks", "benchmark"),
    ("datasets: {train: {type: VideoTestDataset}}", "datasets.train.type", "VideoTestDataset", None),
    ("path: {param_key_g: ema}", "path.param_key_g", "ema", None),
]


@pytest.mark.parametrize(("text", "key", "value", "nearest"), UNKNOWN, ids=[f"{u[1]}={u[2]}" for u in UNKNOWN])
def test_an_unknown_name_is_refused_with_the_nearest(refused, text, key, value, nearest):
    message = refused(text)
    assert message.startswith(f"{key}: expected one of ")
    assert f", got '{value}'" in message
    assert nearest is None or message.endswith(f"; did you mean {nearest}?")


def test_an_architecture_of_one_scale_is_refused(refused):
    """BasicSR's own have no ``upscale``, and would fail at the first step."""
    assert refused("network_g: {_delete_: true, type: RRDBNet}").startswith(
        "network_g.type: expected one of Bicubic, CLIT, IPE"
    )


@pytest.mark.parametrize("name", ["calculate_psnr_pt", "calculate_ssim_pt"])
def test_a_metric_of_tensors_is_refused(refused, name):
    """BasicSR's loop hands out arrays of bytes, on which they fail at the first validation."""
    message = refused(f"val: {{metrics: {{psnr: {{type: {name}}}}}}}")
    assert message.startswith("val.metrics.psnr.type: expected one of")


@pytest.mark.parametrize("name", ["PerceptualLoss", "GANLoss", "WeightedTVLoss"])
def test_a_loss_that_takes_no_sampled_colours_is_refused(refused, name):
    extra = ", gan_type: vanilla" if name == "GANLoss" else ""
    message = refused(f"train: {{pixel_opt: {{_delete_: true, type: {name}{extra}}}}}")
    assert message.startswith("train.pixel_opt")


@pytest.mark.parametrize("name", ["L1Loss", "MSELoss", "CharbonnierLoss"])
def test_a_loss_of_basicsr_that_takes_sampled_colours_is_accepted(good, name):
    good["train"]["pixel_opt"] = {"type": name, "loss_weight": 0.5}
    assert check_options(good, is_train=True)["train"]["pixel_opt"]["type"] == name


@pytest.mark.parametrize("name", ["psnr_float", "ssim_float", "calculate_psnr", "calculate_ssim", "calculate_niqe"])
def test_a_metric_of_images_is_accepted(good, name):
    good["val"]["metrics"] = {"m": {"type": name, "better": "lower", "crop_border": 3}}
    assert check_options(good, is_train=True)["val"]["metrics"]["m"]["type"] == name


@pytest.mark.parametrize("name", ["MultiStepLR", "MultiStepRestartLR"])
def test_both_names_of_the_step_scheduler_are_accepted(good, name):
    good["train"]["scheduler"]["type"] = name
    assert check_options(good, is_train=True)["train"]["scheduler"]["type"] == name


# ---------------------------------------------------------------------- values

BAD_VALUES = [
    # the top level
    ("name: 5", "name: expected a text, got 5"),
    ("name: ''", "name: expected the name of a folder below experiments/ or results/, got ''"),
    ("name: ../x", "name: expected the name of a folder"),
    ("name: /x", "name: expected the name of a folder"),
    ("name: x/y", "name: expected the name of a folder below experiments/ or results/, a plain name, which leads"),
    ("name: .", "name: expected the name of a folder"),
    ('name: "a\\tb"', "name: expected the name of a folder below experiments/ or results/, printable characters; got"),
    (f"name: {'é' * 91}", "name: expected the name of a folder below experiments/ or results/, at most 180 bytes; got"),
    ("val: {suffix: ../../x}", "val.suffix: expected an ending of file names, a plain name"),
    ("datasets: {val: {name: ../../x}}", "datasets.val.name: expected the name of a folder for the set's results, a"),
    ("datasets: {val: {name: ''}}", "datasets.val.name: expected the name of a folder for the set's results, got ''"),
    ("datasets: {train: {name: 'a\\b'}}", "datasets.train.name: expected the name of a folder"),
    ("datasets: {val: {filename_tmpl: '../{}'}}", "datasets.val.filename_tmpl: expected the name of a file, a plain"),
    ("num_gpu: many", "num_gpu: expected a whole number or auto, got 'many'"),
    ("num_gpu: true", "num_gpu: expected a whole number or auto, got True"),
    ("manual_seed: -1", "manual_seed: expected 0 to 2^32 - 1, got -1"),
    ("manual_seed: 4294967296", "manual_seed: expected 0 to 2^32 - 1"),
    ("manual_seed: 0.5", "manual_seed: expected a whole number, got 0.5"),
    ("find_unused_parameters: 1", "find_unused_parameters: expected true or false or nothing, got 1"),
    ("logger: 5", "logger: expected a mapping of keys or nothing, got 5"),
    # path
    ("path: {strict_load_g: false}", "path.strict_load_g: false is not supported"),
    ("path: {pretrain_network_g: 5}", "path.pretrain_network_g: expected a text or nothing, got 5"),
    # train
    ("train: {total_iter: 0}", "train.total_iter: expected at least 1, got 0"),
    ("train: {total_iter: .inf}", "train.total_iter: expected a whole number, got inf"),
    ("train: {ema_decay: 1}", "train.ema_decay: expected 0 to below 1, got 1.0"),
    ("train: {ema_decay: -0.1}", "train.ema_decay: expected 0 to below 1"),
    ("train: {ema_decay: .nan}", "train.ema_decay: expected a number, got nan"),
    ("train: {optim_g: {lr: -1}}", "train.optim_g: Invalid learning rate: -1"),
    ("train: {optim_g: {lr: fast}}", "train.optim_g.lr: expected a number, got 'fast'"),
    ("train: {optim_g: {betas: [0.9]}}", "train.optim_g.betas: expected a list of 2, got [0.9]"),
    ("train: {optim_g: {betas: [0.9, 1.5]}}", "train.optim_g: Invalid beta"),
    ("train: {optim_g: {params: []}}", "train.optim_g.params: unknown key"),
    ("train: {scheduler: {milestones: 5}}", "train.scheduler: "),
    ("train: {scheduler: {gamma: half}}", "train.scheduler.gamma: expected a number, got 'half'"),
    ("train: {scheduler: {optimizer: a}}", "train.scheduler.optimizer: unknown key"),
    ("train: {scheduler: {restart_weights: [1, 1]}}", "train.scheduler: restarts and their weights do not match"),
    ("train: {pixel_opt: {reduction: maen}}", "train.pixel_opt: Unsupported reduction mode: maen"),
    ("train: {pixel_opt: {reduction: none}}", "train.pixel_opt: expected a loss that is a single number"),
    # val and logger
    ("val: {val_freq: 0}", "val.val_freq: expected at least 1, got 0"),
    ("val: {save_img: 'no'}", "val.save_img: expected true or false, got 'no'"),
    ("val: {metrics: [psnr]}", "val.metrics: expected a mapping of keys, got ['psnr']"),
    ("val: {metrics: {psnr: psnr_float}}", "val.metrics.psnr: expected a mapping of keys, got 'psnr_float'"),
    ("val: {metrics: {psnr: {better: more}}}", "val.metrics.psnr.better: expected one of higher, lower, got 'more'"),
    ("val: {metrics: {psnr: {crop_border: 2.5}}}", "val.metrics.psnr.crop_border: expected a whole number, got 2.5"),
    ("val: {metrics: {psnr: {test_y_channel: Y}}}", "val.metrics.psnr.test_y_channel: expected true or false"),
    ("val: {metrics: {psnr: {img: 1}}}", "val.metrics.psnr.img: unknown key"),
    ("logger: {print_freq: 0}", "logger.print_freq: expected at least 1, got 0"),
    ("logger: {save_checkpoint_freq: -5}", "logger.save_checkpoint_freq: expected at least 1, got -5"),
    ("logger: {wandb: {project: p}, use_tb_logger: false}", "logger.wandb: needs use_tb_logger"),
    # datasets.train
    ("datasets: {train: {batch_size_per_gpu: 0}}", "datasets.train.batch_size_per_gpu: expected at least 1, got 0"),
    ("datasets: {train: {dataset_enlarge_ratio: 0}}", "datasets.train.dataset_enlarge_ratio: expected at least 1"),
    ("datasets: {train: {num_worker_per_gpu: -1}}", "datasets.train.num_worker_per_gpu: expected at least 0, got -1"),
    ("datasets: {train: {lq_size: 8.5}}", "datasets.train.lq_size: expected a whole number, got 8.5"),
    ("datasets: {train: {num_queries: 65}}", "datasets.train.num_queries: expected 1 to lq_size squared (64), got 65"),
    ("datasets: {train: {num_queries: 0}}", "datasets.train.num_queries: expected 1 to"),
    ("datasets: {train: {seed: -1}}", "datasets.train.seed: expected 0 to 2^32 - 1, got -1"),
    ("datasets: {train: {persistent_workers: true}}", "datasets.train.persistent_workers: needs num_worker_per_gpu"),
    ("datasets: {train: {degradation: null}}", "datasets.train.degradation: missing; say how LR is made from HR"),
    ("datasets: {train: {degradation: matlap}}", "datasets.train.degradation: expected"),
    (
        "datasets: {train: {dataroot_lq: x, degradation: pil}}",
        "datasets.train.degradation: LR is read from dataroot_lq, not made",
    ),
    ("datasets: {train: {filename_tmpl: x2}}", "datasets.train.filename_tmpl: expected one '{}' in the name, got 'x2'"),
    (
        "datasets: {train: {io_backend: {type: zip}}}",
        "datasets.train.io_backend: expected {type: disk} or {type: lmdb}",
    ),
    ("datasets: {train: {prefetch_mode: gpu}}", "datasets.train.prefetch_mode: expected"),
    ("datasets: {train: 5}", "datasets.train: expected a mapping of keys, got 5"),
    # datasets.val
    ("datasets: {val: {scale: null}}", "datasets.val.scale: missing; give a scale as 2, 3.4 or [2, 3.5], or LR images"),
    ("datasets: {val: {scale: 0.5}}", "datasets.val.scale: expected at least 1, got 0.5"),
    ("datasets: {val: {scale: [2, 0.5]}}", "datasets.val.scale: expected at least 1, got [2.0, 0.5]"),
    ("datasets: {val: {scale: [2, 3, 4]}}", "datasets.val.scale: expected a number or a list of 2 or nothing"),
    ("datasets: {val: {scale: .inf}}", "datasets.val.scale: expected a number or a list of 2 or nothing, got inf"),
    ("datasets: {val: {scale: x4}}", "datasets.val.scale: expected a number or a list of 2 or nothing, got 'x4'"),
    ("datasets: {val: {max_images: 0}}", "datasets.val.max_images: expected at least 1, got 0"),
    # network_g
    ("network_g: {dim: 7}", "network_g.dim: expected a positive multiple of num_heads (2), got 7"),
    ("network_g: {num_heads: 0}", "network_g.dim: expected a positive multiple of num_heads (0)"),
    ("network_g: {local_grid: 4}", "network_g.local_grid: expected an odd number or a pair of them, got 4"),
    ("network_g: {local_grid: [3, 3, 3]}", "network_g.local_grid: expected an odd number or a pair of them"),
    ("network_g: {local_grid: x}", "network_g.local_grid: expected a whole number or a list, got 'x'"),
    ("network_g: {num_branches: 0}", "network_g.num_branches: expected at least 1, got 0"),
    ("network_g: {decoder_hidden: [8, 0]}", "network_g.decoder_hidden: expected positive widths, got [8, 0]"),
    ("network_g: {decoder_hidden: 8}", "network_g.decoder_hidden: expected a list, got 8"),
    ("network_g: {positional_encoding: eq7}", "network_g.positional_encoding: expected one of released, eq6, none"),
    ("network_g: {local_ensemble: 1}", "network_g.local_ensemble: expected true or false, got 1"),
    ("network_g: {discount: .inf}", "network_g.discount: expected a number, got inf"),
    ("network_g: {encoder: RDN}", "network_g.encoder: expected a mapping of keys, got 'RDN'"),
    ("network_g: {encoder: {num_feat: 0}}", "network_g.encoder.num_feat: expected at least 1, got 0"),
    ("network_g: {encoder: {num_feat: 8.5}}", "network_g.encoder.num_feat: expected a whole number, got 8.5"),
    (
        "network_g: {encoder: {_delete_: true, type: BasicSRFeatures, arch: {type: RRDBNet}, layer: a}}",
        "network_g: ",
    ),
    (
        "network_g: {encoder: {_delete_: true, type: BasicSRFeatures, arch: {type: RRDBNet, num_in_ch: 3, "
        "num_out_ch: 3, num_feat: 4, num_block: 1, num_grow_ch: 2}, layer: conv_body, multiple: 0}}",
        "network_g.encoder.multiple: expected at least 1, got 0",
    ),
]


@pytest.mark.parametrize(("text", "message"), BAD_VALUES, ids=[text for text, _ in BAD_VALUES])
def test_a_bad_value_is_refused_with_its_key_and_what_was_expected(refused, text, message):
    assert refused(text).startswith(message)


AS_TEXT = [
    ("train: {total_iter: '1e3'}", "train.total_iter"),
    ("train: {optim_g: {lr: '1e-4'}}", "train.optim_g.lr"),
    ("train: {optim_g: {eps: '1e-8'}}", "train.optim_g.eps"),
    ("train: {scheduler: {milestones: ['2e5', '4e5']}}", "train.scheduler.milestones[0]"),
    ("train: {scheduler: {gamma: '5e-1'}}", "train.scheduler.gamma"),
    ("train: {pixel_opt: {loss_weight: '1e-1'}}", "train.pixel_opt.loss_weight"),
    ("val: {val_freq: '5e3'}", "val.val_freq"),
    ("datasets: {val: {scale: '4'}}", "datasets.val.scale"),
    ("network_g: {discount: '75e-2'}", "network_g.discount"),
]


@pytest.mark.parametrize(("text", "key"), AS_TEXT, ids=[key for _, key in AS_TEXT])
def test_a_number_in_quotes_is_refused_with_a_hint(refused, text, key):
    message = refused(text)
    assert message.startswith(f"{key}: expected ")
    assert HINT in message


def test_a_number_in_quotes_in_the_cosine_scheduler_is_refused_with_a_hint(refused):
    scheduler = "{_delete_: true, type: CosineAnnealingRestartLR, periods: [4], eta_min: '1e-7'}"
    assert HINT in refused(f"train: {{scheduler: {scheduler}}}")


def test_numbers_with_exponents_are_numbers_in_files_and_overrides(good, tmp_path):
    (tmp_path / "good.yml").write_text(yaml.safe_dump(good))
    text = "train: {total_iter: 1e3, scheduler: {milestones: [2e2, 4E2]}, optim_g: {eps: 1e-7}}"
    (tmp_path / "run.yml").write_text(f"_base_: good.yml\n{text}\n")
    train = load_options(tmp_path / "run.yml", is_train=True, overrides=["train.optim_g.lr=1e-4"])["train"]
    assert (train["total_iter"], train["scheduler"]["milestones"]) == (1000, [200, 400])
    assert (train["optim_g"]["lr"], train["optim_g"]["eps"]) == (1e-4, 1e-7)


def test_periods_that_end_before_the_training_are_refused(refused):
    """BasicSR would fail at the step behind their end."""
    scheduler = "{_delete_: true, type: CosineAnnealingRestartLR, periods: [2, 1], restart_weights: [1, 1]}"
    message = refused(f"train: {{total_iter: 4, scheduler: {scheduler}}}")
    assert message == "train.scheduler.periods: their sum is 3, less than train.total_iter, 4"


def test_periods_that_last_as_long_as_the_training_are_accepted(good):
    good["train"]["scheduler"] = {"type": "CosineAnnealingRestartLR", "periods": [3, 1], "restart_weights": [1, 0.5]}
    assert check_options(good, is_train=True)["train"]["total_iter"] == 4


@pytest.mark.parametrize(
    "value", ["5", "[]", "[[]]", "[[1, 4]]", "[[[1]]]", "[[[1, 4, 5]]]", "[[[4, 1]]]", "[[[0.5, 1]]]", "[[[1, .inf]]]"]
)
def test_scale_ranges_of_another_shape_are_refused_with_an_example(refused, value):
    message = refused(f"datasets: {{train: {{scale_ranges: {value}}}}}")
    assert message.startswith("datasets.train.scale_ranges: expected a list")
    assert "got" in message


def test_fewer_scales_than_branches_are_refused(refused):
    assert refused("network_g: {num_branches: 2}").startswith(
        "datasets.train.scale_ranges: the longest alternative lists 1 scale(s), but network_g.num_branches is 2"
    )


def test_more_scales_than_branches_are_refused(refused):
    message = refused("datasets: {train: {scale_ranges: [[[1, 4]], [[1, 4], [1, 4]]]}}")
    assert "lists 2 scale(s), but network_g.num_branches is 1" in message


def test_a_test_without_weights_is_refused(good):
    del good["datasets"]["train"]
    with pytest.raises(UserError, match=r"^path\.pretrain_network_g: missing"):
        check_options(good, is_train=False)


def test_a_test_without_sets_is_refused(good):
    good["datasets"] = {}
    with pytest.raises(UserError, match=r"^datasets: expected at least one set"):
        check_options(good, is_train=False)


def test_the_file_is_named_once_in_an_error_of_its_yaml(tmp_path):
    (tmp_path / "bad.yml").write_text("a: 1\na: 2\n")
    with pytest.raises(UserError) as caught:
        load_options(tmp_path / "bad.yml", is_train=True)
    assert str(caught.value).count("bad.yml") == 1


def test_an_override_is_checked_as_the_file_is(refused):
    assert refused("", "train.total_itr=5") == "train.total_itr: unknown key; did you mean total_iter?"


# ---------------------------------------------------------------------- what is filled in


def test_the_options_given_are_not_changed(good):
    before = copy.deepcopy(good)
    check_options(good, is_train=True)
    assert good == before


def test_checked_options_share_nothing_with_those_given(good):
    checked = check_options(good, is_train=True)
    checked["network_g"]["encoder"]["num_feat"] = 99
    checked["train"]["optim_g"]["lr"] = 99
    checked["val"]["metrics"].clear()
    assert good["network_g"]["encoder"]["num_feat"] == 8
    assert good["train"]["optim_g"]["lr"] == 1e-3
    assert good["val"]["metrics"]


def test_checked_options_pass_the_check_again_unchanged(good):
    checked = check_options(good, is_train=True)
    assert check_options(checked, is_train=True) == checked


def test_whole_floats_become_integers_in_every_section(good):
    good["train"]["total_iter"] = 4.0
    good["datasets"]["train"]["lq_size"] = 8.0
    good["network_g"]["dim"] = 8.0
    good["network_g"]["encoder"]["num_feat"] = 8.0
    checked = check_options(good, is_train=True)
    values = [checked["train"]["total_iter"], checked["datasets"]["train"]["lq_size"]]
    values += [checked["network_g"]["dim"], checked["network_g"]["encoder"]["num_feat"]]
    assert [type(value) for value in values] == [int] * 4


def test_sections_that_are_left_out_get_their_defaults(good):
    for name in ("val", "logger", "num_gpu"):
        del good[name]
    checked = check_options(good, is_train=True)
    assert checked["val"]["val_freq"] == 5000
    assert checked["logger"]["print_freq"] == 100
    assert checked["num_gpu"] == "auto"
    assert checked["path"]["strict_load_g"] is True


@pytest.mark.parametrize(
    ("ranges", "expected"),
    [
        ([[[1, 4]]], False),
        ([[[1, 4]], [[4, 12]]], False),
        ([[[1, 4], [1, 4]]], False),
        ([[[1, 4]], [[1, 4], [1, 4]]], True),
    ],
    ids=str,
)
def test_unused_parameters_are_sought_where_alternatives_leave_a_branch_idle(good, ranges, expected):
    good["datasets"]["train"]["scale_ranges"] = ranges
    good["network_g"]["num_branches"] = max(map(len, ranges))
    assert check_options(good, is_train=True)["find_unused_parameters"] is expected


@pytest.mark.parametrize("value", [True, False])
def test_a_given_find_unused_parameters_is_kept(good, value):
    good["find_unused_parameters"] = value
    assert check_options(good, is_train=True)["find_unused_parameters"] is value


def test_the_seed_of_the_samples_is_manual_seed_by_default(good):
    assert check_options(good | {"manual_seed": 17}, is_train=True)["datasets"]["train"]["seed"] == 17


def test_a_given_seed_of_the_samples_is_kept(good):
    good["datasets"]["train"]["seed"] = 5
    assert check_options(good | {"manual_seed": 17}, is_train=True)["datasets"]["train"]["seed"] == 5


def test_the_seed_is_0_by_default(good):
    del good["manual_seed"]
    checked = check_options(good, is_train=True)
    assert (checked["manual_seed"], checked["datasets"]["train"]["seed"]) == (0, 0)


def test_a_network_of_basicsr_serves_as_encoder(good):
    arch = {"type": "RRDBNet", "num_in_ch": 3, "num_out_ch": 3, "num_feat": 4, "num_block": 1, "num_grow_ch": 2}
    good["network_g"]["encoder"] = {"type": "BasicSRFeatures", "arch": arch, "layer": "conv_body"}
    assert check_options(good, is_train=True)["network_g"]["encoder"]["arch"] == arch


@pytest.mark.parametrize(("name", "section"), SECTIONS.items(), ids=str)
def test_every_key_of_a_section_has_its_line_in_the_reference(name, section):
    assert fields(section)
    assert [field.name for field in fields(section) if not field.metadata.get("doc")] == []


# ---------------------------------------------------------------------- the shipped files


def test_every_run_of_clit_itself_and_of_the_demo_is_shipped():
    names = {f"{encoder}_stage{stage}" for encoder, stage in PAPER_RUNS} | {"demo_stage1", "demo_stage2"}
    assert {file.stem for file in TRAIN_FILES} >= names
    assert {file.stem for file in TEST_FILES} == {"bicubic", "edsr", "rdn", "swinir"}


@pytest.fixture(scope="module")
def shipped():
    """Every shipped file, loaded once: by folder and stem."""
    loaded = {("train", file.stem): load_options(file, is_train=True) for file in TRAIN_FILES}
    return loaded | {("test", file.stem): load_options(file, is_train=False) for file in TEST_FILES}


@pytest.mark.parametrize(("encoder", "stage"), PAPER_RUNS)
def test_a_run_of_the_paper_has_its_length_and_milestones(shipped, encoder, stage):
    options = shipped["train", f"{encoder}_stage{stage}"]
    data = options["datasets"]["train"]
    per_epoch = 800 * data["dataset_enlarge_ratio"] // data["batch_size_per_gpu"]  # DIV2K has 800 images
    epochs, milestones = PAPER_EPOCHS[stage]
    assert per_epoch == 1000
    assert options["train"]["total_iter"] == epochs * per_epoch
    assert options["train"]["scheduler"] == {
        "type": "MultiStepLR",
        "milestones": [epoch * per_epoch for epoch in milestones],
        "gamma": 0.5,
    }


@pytest.mark.parametrize(("encoder", "stage"), PAPER_RUNS)
def test_a_run_of_the_paper_has_its_batch_samples_and_optimiser(shipped, encoder, stage):
    options = shipped["train", f"{encoder}_stage{stage}"]
    data = options["datasets"]["train"]
    assert (data["batch_size_per_gpu"], data["lq_size"], data["num_queries"]) == (32, 48, None)
    assert (data["degradation"], data["use_hflip"], data["use_vflip"], data["use_rot"]) == ("pil", True, True, True)
    assert options["train"]["optim_g"]["lr"] == 1e-4
    assert options["train"]["pixel_opt"]["type"] == "L1Loss"


@pytest.mark.parametrize(("encoder", "stage"), PAPER_RUNS)
def test_a_run_of_the_paper_has_its_network_and_scales(shipped, encoder, stage):
    options = shipped["train", f"{encoder}_stage{stage}"]
    network = options["network_g"]
    assert network["encoder"] == {"type": {"edsr": "EDSRBaseline", "rdn": "RDN", "swinir": "SwinIR"}[encoder]}
    assert (network["num_branches"], network["dim"], network["num_heads"], network["local_grid"]) == (stage, 256, 8, 7)
    assert (network["decoder_hidden"], network["discount"]) == ([256] * 4, 0.75)
    third = [[1, 4], [1, 4], [1, 2]]  # the third range is the released code's
    assert options["datasets"]["train"]["scale_ranges"] == [third[:n] for n in range(1, stage + 1)]


@pytest.mark.parametrize(("encoder", "stage"), PAPER_RUNS)
def test_a_stage_of_the_paper_starts_from_the_one_before(shipped, encoder, stage):
    start = shipped["train", f"{encoder}_stage{stage}"]["path"]["pretrain_network_g"]
    before = f"experiments/{encoder}_stage{stage - 1}/models/net_g_latest.pth"
    assert start == (None if stage == 1 else before)


@pytest.mark.parametrize("file", TRAIN_FILES, ids=lambda file: file.stem)
def test_a_shipped_run_is_named_as_its_file(shipped, file):
    assert shipped["train", file.stem]["name"] == file.stem


@pytest.mark.parametrize("file", TEST_FILES, ids=lambda file: file.stem)
def test_a_shipped_test_has_the_sets_and_scales_of_the_tables(shipped, file):
    sets = shipped["test", file.stem]["datasets"].values()
    scales = {"DIV2K": [2, 3, 4, 6, 12, 18, 24, 30]}
    scales |= {name: [2, 3, 4, 6, 8] for name in ("Set5", "Set14", "B100", "Urban100")}
    found: dict[str, list[float]] = {}
    for dataset in sets:
        name, _, scale = dataset["name"].partition("_x")
        assert float(scale) == dataset["scale"]
        assert dataset["protocol"] == ("div2k" if name == "DIV2K" else "benchmark")
        found.setdefault(name, []).append(dataset["scale"])
    assert found == scales


@pytest.mark.parametrize("file", [f for f in TEST_FILES if f.stem != "bicubic"], ids=lambda file: file.stem)
def test_a_shipped_test_fits_the_third_stage(shipped, file):
    options, trained = shipped["test", file.stem], shipped["train", f"{file.stem}_stage3"]
    weights = f"experiments/{trained['name']}/models/net_g_latest.pth"
    assert options["path"]["pretrain_network_g"] == weights
    assert options["network_g"]["encoder"] == trained["network_g"]["encoder"]
    assert options["network_g"]["num_branches"] == trained["network_g"]["num_branches"]


@pytest.mark.parametrize("file", TRAIN_FILES, ids=lambda file: file.stem)
def test_names_of_the_sets_of_a_shipped_run_differ(shipped, file):
    names = [dataset["name"] for dataset in shipped["train", file.stem]["datasets"].values()]
    assert len(set(names)) == len(names)


# ---------------------------------------------------------------------- nothing is written


@pytest.fixture
def run_in_empty_folder(tmp_path, good, monkeypatch, capsys):
    """Exit status and the one line on stderr of a command in an empty folder, which stays empty."""
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)

    def run(command: str = "train", *overrides: str, options: dict = good) -> str:
        (tmp_path / "run.yml").write_text(yaml.safe_dump(options))
        arguments = [command, "-opt", str(tmp_path / "run.yml")]
        capsys.readouterr()
        status = main([*arguments, *(["--set", *overrides] if overrides else [])])
        errors = capsys.readouterr().err
        assert all(line.startswith(f"clit {command}: error: ") for line in errors.splitlines())
        assert errors.endswith("\n")
        assert status == 2
        assert os.listdir(work) == []
        return errors

    return run


def save_weights(path: Path, change=lambda weights: weights, branches: int = 1) -> str:
    """A checkpoint of the tiny network."""
    weights = dict(build_network({**TINY_NETWORK, "num_branches": branches}).state_dict())
    torch.save({"params": change(weights)}, path)
    return str(path)


@pytest.mark.parametrize(
    "override",
    [
        "train.total_itr=5",
        "train.total_iter=0",
        "train.optim_g.lr=-1",
        "train.pixel_opt.reduction=maen",
        "network_g.local_grid=4",
        "manual_seed=-1",
        "path.strict_load_g=false",
        "num_gpu=99",
        "train.total_iter",
        "custom_imports=[no_such_module_anywhere]",
    ],
)
def test_a_wrong_option_writes_nothing(run_in_empty_folder, override):
    run_in_empty_folder("train", override)


def test_a_missing_option_file_writes_nothing(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["train", "-opt", "absent.yml"]) == 2
    assert capsys.readouterr().err == "clit train: error: absent.yml: no such option file\n"
    assert os.listdir(tmp_path) == []


def test_a_wrong_second_stage_writes_nothing_of_the_first(tmp_path, good, tiny_images, monkeypatch, capsys):
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    (tmp_path / "one.yml").write_text(yaml.safe_dump(good))
    second = stage_options(tiny_images, 2, name="second")
    (tmp_path / "two.yml").write_text(yaml.safe_dump(second | {"nmae": 1}))
    assert main(["train", "-opt", "../one.yml", "../two.yml"]) == 2
    assert capsys.readouterr().err == "clit train: error: ../two.yml: nmae: unknown key; did you mean name?\n"
    assert os.listdir() == []


def test_a_second_stage_with_a_missing_set_writes_nothing_of_the_first(tmp_path, good, monkeypatch, capsys):
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    (tmp_path / "one.yml").write_text(yaml.safe_dump(good))
    second = copy.deepcopy(good) | {"name": "second"}
    second["datasets"]["val"]["dataroot_gt"] = str(tmp_path / "absent")
    (tmp_path / "two.yml").write_text(yaml.safe_dump(second))
    assert main(["train", "-opt", "../one.yml", "../two.yml"]) == 2
    assert "datasets.val: " in capsys.readouterr().err
    assert os.listdir() == []


def test_missing_images_write_nothing(run_in_empty_folder, tmp_path):
    message = run_in_empty_folder("train", f"datasets.train.dataroot_gt={tmp_path}/absent")
    assert f"datasets.train: {tmp_path}/absent: no such folder of images" in message


def test_missing_images_of_a_validation_set_write_nothing(run_in_empty_folder, tmp_path):
    message = run_in_empty_folder("train", f"datasets.val.dataroot_gt={tmp_path}/absent")
    assert f"datasets.val: {tmp_path}/absent: no such folder of images" in message


def test_a_folder_without_images_writes_nothing(run_in_empty_folder, tmp_path):
    (tmp_path / "empty").mkdir()
    assert "no images in it or its subfolders" in run_in_empty_folder(
        "train", f"datasets.train.dataroot_gt={tmp_path}/empty"
    )


def test_a_missing_lmdb_writes_nothing(run_in_empty_folder, tmp_path):
    message = run_in_empty_folder("train", f"datasets.train.dataroot_gt={tmp_path}/absent.lmdb")
    assert "no such LMDB folder; make it with 'clit prepare" in message


def test_a_folder_that_is_no_lmdb_writes_nothing(run_in_empty_folder, tmp_path):
    (tmp_path / "wrong.lmdb").mkdir()
    message = run_in_empty_folder("train", f"datasets.train.dataroot_gt={tmp_path}/wrong.lmdb")
    assert "wrong.lmdb: not an LMDB of images, data.mdb is missing" in message


def test_an_image_smaller_than_the_crop_writes_nothing(run_in_empty_folder, tiny_images):
    message = run_in_empty_folder("train", "datasets.train.lq_size=41")
    assert f"{tiny_images}/0001.png: 44x40 is smaller than the crop of 41x41" in message


def test_an_image_smaller_than_the_scale_writes_nothing(run_in_empty_folder):
    message = run_in_empty_folder("train", "datasets.val.scale=41")
    assert "datasets.val: " in message
    assert "44x40 is smaller than" in message


def save_as(mode: str, suffix: str = "png"):
    """What saves an image in a mode of Pillow."""
    return lambda image, stem: image.convert(mode).save(f"{stem}.{suffix}")


def save_16_bits(image, stem) -> None:
    import cv2
    import numpy as np

    cv2.imwrite(f"{stem}.png", np.asarray(image).astype(np.uint16) * 257)


NOT_RGB = {
    "grey": (save_as("L"), "got L"),
    "grey jpeg": (save_as("L", "jpg"), "got L"),
    "grey and alpha": (save_as("LA"), "got LA"),
    "alpha": (save_as("RGBA"), "got RGBA"),
    "one bit": (save_as("1"), "got 1"),
    "16 bits of grey": (save_as("I;16"), "got I;16"),
    "16 bits": (save_16_bits, "of 16 bits"),
    "a transparent colour": (lambda image, stem: image.save(f"{stem}.png", transparency=(1, 2, 3)), "transparency"),
}


@pytest.mark.parametrize("kind", NOT_RGB)
def test_an_image_that_is_not_8_bit_rgb_writes_nothing(run_in_empty_folder, tmp_path, tiny_images, kind):
    save, told = NOT_RGB[kind]
    (tmp_path / "mixed").mkdir()
    image = Image.open(tiny_images / "0001.png")
    image.save(tmp_path / "mixed" / "0001.png")
    save(image, tmp_path / "mixed" / "0002")
    strict = ["datasets.train.strict=true"] if told in ("got L", "got 1") else []
    message = run_in_empty_folder("train", f"datasets.train.dataroot_gt={tmp_path}/mixed", *strict)
    assert "/mixed/0002" in message
    assert "expected an 8-bit RGB image, got" in message
    assert told in message
    assert "clit prepare --convert" in message


def test_a_file_that_is_no_image_writes_nothing(run_in_empty_folder, tmp_path):
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "0001.png").write_text("text")
    message = run_in_empty_folder("train", f"datasets.train.dataroot_gt={tmp_path}/broken")
    assert "broken/0001.png: not a readable image" in message


@pytest.mark.parametrize("suffix", ["png", "bmp", "tif", "webp", "jpg"])
def test_rgb_of_every_format_is_no_reason_to_refuse(run_in_empty_folder, tmp_path, tiny_images, suffix):
    (tmp_path / "fine").mkdir()
    Image.open(tiny_images / "0001.png").save(tmp_path / "fine" / f"a.{suffix}")
    # The next thing wrong is told: the images have passed.
    message = run_in_empty_folder("train", f"datasets.train.dataroot_gt={tmp_path}/fine", "datasets.val.scale=41")
    assert "datasets.val: " in message


def test_a_palette_of_colours_is_no_reason_to_refuse(run_in_empty_folder, tmp_path, tiny_images):
    (tmp_path / "fine").mkdir()
    Image.open(tiny_images / "0001.png").convert("P").save(tmp_path / "fine" / "a.png")
    message = run_in_empty_folder("train", f"datasets.train.dataroot_gt={tmp_path}/fine", "datasets.val.scale=41")
    assert "datasets.val: " in message


def test_images_that_do_not_pair_up_write_nothing(run_in_empty_folder, tmp_path, tiny_images):
    write_lr(tiny_images, tmp_path / "lr", 2)
    (tmp_path / "lr" / "0002x2.png").unlink()
    message = run_in_empty_folder(
        "train",
        f"datasets.train.dataroot_lq={tmp_path}/lr",
        "datasets.train.degradation=null",
        "datasets.train.filename_tmpl='{}x2'",
    )
    assert "0002.png: no LR image named 0002x2" in message


def test_an_lmdb_that_io_backend_calls_a_disk_writes_nothing(run_in_empty_folder, tmp_path):
    lmdb = to_lmdb(write_images(tmp_path / "few", 1, (40, 44)))
    message = run_in_empty_folder("train", f"datasets.train.dataroot_gt={lmdb}", "datasets.train.io_backend.type=disk")
    assert "io_backend says disk" in message


def test_missing_weights_write_nothing(run_in_empty_folder, tmp_path):
    message = run_in_empty_folder("train", f"path.pretrain_network_g={tmp_path}/absent.pth")
    assert f"{tmp_path}/absent.pth: no such weights file" in message


@pytest.mark.parametrize("content", [b"", b"these are no weights\n", b"PK\x03\x04 no zip"])
def test_a_file_that_is_no_checkpoint_writes_nothing(run_in_empty_folder, tmp_path, content):
    (tmp_path / "text.pth").write_bytes(content)
    message = run_in_empty_folder("train", f"path.pretrain_network_g={tmp_path}/text.pth")
    assert "text.pth: not a checkpoint that can be read safely" in message


def test_a_checkpoint_with_missing_keys_writes_nothing(run_in_empty_folder, tmp_path):
    def without_one(weights):
        del weights["branches.0.to_q.weight"]
        return weights

    path = save_weights(tmp_path / "w.pth", without_one)
    message = run_in_empty_folder("train", f"path.pretrain_network_g={path}")
    assert "does not fit network_g: 1 missing (branches.0.to_q.weight)" in message


def test_a_checkpoint_of_another_network_writes_nothing(run_in_empty_folder, tmp_path):
    path = save_weights(tmp_path / "w.pth")
    message = run_in_empty_folder("train", f"path.pretrain_network_g={path}", "network_g.encoder.num_feat=9")
    assert "of another shape (encoder.conv_first.weight (8, 3, 3, 3) for (9, 3, 3, 3)" in message


def test_a_checkpoint_of_more_branches_writes_nothing(run_in_empty_folder, tmp_path):
    path = save_weights(tmp_path / "w.pth", branches=2)
    message = run_in_empty_folder("train", f"path.pretrain_network_g={path}")
    assert "not in the network (branches.1." in message


def test_a_checkpoint_without_weights_writes_nothing(run_in_empty_folder, tmp_path):
    torch.save({"model": {}}, tmp_path / "w.pth")
    message = run_in_empty_folder("train", f"path.pretrain_network_g={tmp_path}/w.pth")
    assert "w.pth: no 'params' in it, only model" in message


def test_a_missing_training_state_writes_nothing(run_in_empty_folder, tmp_path):
    message = run_in_empty_folder("train", f"path.resume_state={tmp_path}/absent.state")
    assert "absent.state: no such" in message


def test_weights_in_the_place_of_a_training_state_write_nothing(run_in_empty_folder, tmp_path):
    path = save_weights(tmp_path / "w.pth")
    message = run_in_empty_folder("train", f"path.resume_state={path}")
    assert "path.resume_state: " in message
    assert "not a training state" in message


@pytest.fixture
def run_of_a_test(good) -> dict:
    """Options of a test on the tiny images, without weights."""
    good["datasets"] = {"test": good["datasets"]["val"]}
    del good["train"]
    return good


def test_a_wrong_option_of_a_test_writes_nothing(run_in_empty_folder, run_of_a_test):
    assert "val.save_image: unknown key" in run_in_empty_folder("test", "val.save_image=true", options=run_of_a_test)


def test_a_test_with_missing_images_writes_nothing(run_in_empty_folder, run_of_a_test, tmp_path):
    path = save_weights(tmp_path / "w.pth")
    overrides = [f"path.pretrain_network_g={path}", f"datasets.test.dataroot_gt={tmp_path}/absent"]
    message = run_in_empty_folder("test", *overrides, options=run_of_a_test)
    assert f"looked for {tmp_path}/absent" in message


def test_a_test_takes_no_weights_that_lack_a_branch(run_in_empty_folder, run_of_a_test, tmp_path):
    path = save_weights(tmp_path / "w.pth")
    overrides = [f"path.pretrain_network_g={path}", "network_g.num_branches=2"]
    message = run_in_empty_folder("test", *overrides, options=run_of_a_test)
    assert "missing (branches.1." in message


def test_a_test_takes_no_weights_that_are_missing(run_in_empty_folder, run_of_a_test, tmp_path):
    message = run_in_empty_folder("test", f"path.pretrain_network_g={tmp_path}/absent.pth", options=run_of_a_test)
    assert "absent.pth: no such weights file" in message


@pytest.mark.parametrize("key", ["phase", "resume_iter"])
def test_a_key_that_the_run_itself_sets_is_refused(refused, key):
    assert f"datasets.train.{key}: unknown key" in refused(f"datasets: {{train: {{{key}: 3}}}}")


def test_a_second_training_set_is_refused(refused):
    assert "datasets.train_2: unknown key" in refused("datasets: {train_2: {}}")


def test_two_sets_of_one_name_are_refused(good):
    good["datasets"]["val_2"] = dict(good["datasets"]["val"])
    with pytest.raises(UserError, match="datasets.val_2.name: .* is that of datasets.val, too"):
        check_options(good, is_train=True)
