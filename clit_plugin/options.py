"""Checked options: every key and value is known to be good before anything is written."""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from basicsr.models import lr_scheduler
from basicsr.utils.registry import ARCH_REGISTRY, LOSS_REGISTRY, METRIC_REGISTRY, Registry

from clit_plugin.archs.encoders import ENCODER_REGISTRY
from clit_plugin.data.arbitrary_scale_paired_dataset import ArbitraryScalePairedDataset
from clit_plugin.data.dataset_options import TrainSetOptions, ValSetOptions, parse_set
from clit_plugin.errors import UserError
from clit_plugin.models.warm_start import load_stage, read_weights
from clit_plugin.schema import check_arguments, check_mapping, choose, key, parse
from clit_plugin.yaml_files import read_options


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """The top level."""

    name: str = key("name of the run: its folder under experiments/ (training) or results/ (test)")
    network_g: Mapping[str, Any] = key("the network: type and its arguments")
    datasets: Mapping[str, Any] = key("train, val, val_2, ... for training; test, test_2, ... for a test")
    model_type: Literal["CumulativeScaleModel"] = key("the model class", "CumulativeScaleModel")
    num_gpu: int | Literal["auto"] = key("GPUs of this process: auto, 1, or 0 for the CPU; more need torchrun", "auto")
    manual_seed: int = key("seed of weights, schedule and samples", 0)
    find_unused_parameters: bool = key("for DDP; by default true where alternatives leave branches idle", False)
    path: Mapping[str, Any] = key("weights to start or resume from", {})
    train: Mapping[str, Any] | None = key("optimiser, schedule and loss", None)
    val: Mapping[str, Any] | None = key("validation", None)
    logger: Mapping[str, Any] | None = key("logging and checkpoints", None)
    dist_params: Mapping[str, Any] | None = key("BasicSR's distributed settings", None)


@dataclass(frozen=True, kw_only=True)
class PathOptions:
    """``path``."""

    pretrain_network_g: str | None = key("weights to start from; in a chain of stages the stage before's", None)
    param_key_g: Literal["params", "params_ema"] = key("which weights of that file", "params")
    strict_load_g: bool = key("always true: only a whole new branch may be missing", True)
    resume_state: str | None = key("a .state file to resume from; --auto_resume finds the newest", None)


@dataclass(frozen=True, kw_only=True)
class TrainOptions:
    """``train``."""

    total_iter: int = key("training steps; epochs = total_iter / (images * dataset_enlarge_ratio / batch)")
    optim_g: Mapping[str, Any] = key("{type: Adam, lr: ..., ...}, arguments of torch.optim")
    scheduler: Mapping[str, Any] = key("{type: MultiStepLR, milestones: [...], gamma: 0.5} or CosineAnnealingRestartLR")
    pixel_opt: Mapping[str, Any] = key("the loss: {type: L1Loss, ...}, any of BasicSR's on sampled colours")
    ema_decay: float = key("decay of the averaged weights; 0 for none", 0.0)
    warmup_iter: int = key("steps of linear warm-up; -1 for none", -1)


@dataclass(frozen=True, kw_only=True)
class ValOptions:
    """``val``."""

    val_freq: int = key("validate every so many steps", 5000)
    save_img: bool = key("write the images", False)
    suffix: str | None = key("ending of written images' names in a test", None)
    pbar: bool = key("progress bar", True)
    metrics: Mapping[str, Any] = key("by name: {type: psnr_float}, ssim_float, or BasicSR's calculate_psnr ...", {})


@dataclass(frozen=True, kw_only=True)
class LoggerOptions:
    """``logger``."""

    print_freq: int = key("log every so many steps", 100)
    save_checkpoint_freq: int = key("checkpoint every so many steps", 5000)
    use_tb_logger: bool = key("tensorboard", True)
    wandb: Mapping[str, Any] | None = key("BasicSR's Weights & Biases settings", None)


SECTIONS: dict[str, type] = {
    "": RunOptions,
    "path": PathOptions,
    "train": TrainOptions,
    "val": ValOptions,
    "logger": LoggerOptions,
    "datasets.train": TrainSetOptions,
    "datasets.val": ValSetOptions,
}


def load_options(path: str | Path, *, is_train: bool, overrides: Sequence[str] = ()) -> dict[str, Any]:
    """Read and check an option file.

    Args:
        path: See ``read_options``.
        is_train: Whether the file is for training or for a test.
        overrides: ``key=value``, as in ``read_options``.

    Returns:
        Options for BasicSR, with the defaults that it lacks filled in.

    Raises:
        UserError: The first thing wrong, with its key, what was expected and the nearest valid key.
    """
    try:
        return check_options(read_options(path, overrides), is_train=is_train)
    except UserError as error:
        message = str(error)
        raise UserError(message if message.startswith(str(path)) else f"{path}: {message}") from error


def check_options(given: Mapping[str, Any], *, is_train: bool) -> dict[str, Any]:
    """Check options and fill in defaults; the argument is not changed. Raises UserError as ``load_options``."""
    if "scale" in given:
        raise UserError("scale: not at the top level, where BasicSR writes it into every set; give each set its own")
    options: dict[str, Any] = copy.deepcopy(dict(given))
    run = parse(RunOptions, options, "")
    for name, section in SECTIONS.items():
        if name in ("path", "val", "logger") or (name == "train" and is_train):
            options[name] = vars(parse(section, options.get(name) or {}, name))
    _check_frequencies(options)
    _check_network(run.network_g)
    _check_component(METRIC_REGISTRY, options["val"]["metrics"], "val.metrics", many=True)
    for name, dataset in run.datasets.items():
        options["datasets"][name] = _check_set(name, dataset, is_train, run.manual_seed)
    if is_train:
        _check_training(options, run)
    elif not options["path"].get("pretrain_network_g"):
        raise UserError("path.pretrain_network_g: missing; a test needs trained weights")
    options.update(manual_seed=run.manual_seed, num_gpu=run.num_gpu, model_type=run.model_type)
    return options


def check_files(options: Mapping[str, Any], *, with_weights: bool = True) -> None:
    """Look at everything that a run will read: every data set, and the weights against the network.

    Raises:
        UserError: Missing or unfit data or weights.
    """
    for name, dataset in options["datasets"].items():
        try:
            ArbitraryScalePairedDataset({**dataset, "phase": name.split("_")[0], "cache": False})
        except UserError as error:
            raise UserError(f"datasets.{name}: {str(error).removeprefix('datasets.')}") from error
    weights = options["path"].get("pretrain_network_g")
    if weights and with_weights:
        net = build_network(options["network_g"])
        param_key = options["path"].get("param_key_g", "params")
        load_stage(net, read_weights(weights, param_key), weights, allow_new_branches="train" in options["datasets"])


def build_network(network: Mapping[str, Any]) -> torch.nn.Module:
    """Build a network from its options.

    Raises:
        UserError: A value that the network or its encoder refuses.
    """
    arguments = {name: value for name, value in copy.deepcopy(dict(network)).items() if name != "type"}
    try:
        return ARCH_REGISTRY.get(network["type"])(**arguments)
    except (ValueError, TypeError) as error:
        raise UserError(f"network_g: {error}") from error


def _check_network(network: Mapping[str, Any]) -> None:
    _check_component(ARCH_REGISTRY, network, "network_g")
    if "encoder" in network:
        _check_component(ENCODER_REGISTRY, network["encoder"], "network_g.encoder")
    build_network(network)


def _check_component(
    registry: Registry, options: Any, where: str, *, given: Sequence[str] = (), many: bool = False
) -> None:
    """Check ``{type: NAME, ...}`` against what is registered under that name."""
    check_mapping(options, where)
    if many:
        metric_inputs = ("img", "img2", "crop_border", "test_y_channel")
        for name, one in options.items():
            check_mapping(one, f"{where}.{name}")
            rest = {k: v for k, v in one.items() if k not in ("better", *metric_inputs)}
            _check_component(registry, rest, f"{where}.{name}", given=metric_inputs)
        return
    if "type" not in options:
        raise UserError(f"{where}.type: missing; one of {', '.join(sorted(registry.keys()))}")
    names = sorted({name.removesuffix("_basicsr") for name in registry.keys()})  # noqa: SIM118, not a dict
    choose(options["type"], names, f"{where}.type")
    arguments = {name: value for name, value in options.items() if name != "type"}
    check_arguments(registry.get(options["type"]), arguments, where, given=given)


def _check_set(name: str, dataset: Any, is_train: bool, seed: int) -> dict[str, Any]:
    """Check one data set and return its options with their defaults, of which BasicSR lacks some."""
    phases = ("train", "val") if is_train else ("test", "val")
    phase = str(name).split("_")[0]
    if phase not in phases:
        raise UserError(f"datasets.{name}: unknown key; sets are named {', '.join(f'{p}, {p}_2' for p in phases)}")
    check_mapping(dataset, f"datasets.{name}")
    kind = dataset.get("type", "ArbitraryScalePairedDataset")
    choose(kind, ["ArbitraryScalePairedDataset"], f"datasets.{name}.type")
    parsed = vars(parse_set({**dataset, "phase": phase}, f"datasets.{name}"))
    if phase == "train" and "seed" not in dataset:
        parsed["seed"] = seed
    return {key: value for key, value in parsed.items() if key not in ("phase", "resume_iter")}


def _check_training(options: dict[str, Any], run: RunOptions) -> None:
    if "train" not in options["datasets"]:
        raise UserError("datasets.train: missing; training needs a set")
    train = options["train"]
    _check_optimisation(train)
    sets = parse_set({**options["datasets"]["train"], "phase": "train"}, "datasets.train")
    assert isinstance(sets, TrainSetOptions)
    lengths = {len(alternative) for alternative in sets.ranges}
    branches = run.network_g.get("num_branches", 1)
    if max(lengths) != branches:
        raise UserError(
            f"datasets.train.scale_ranges: the longest alternative lists {max(lengths)} scale(s), but "
            f"network_g.num_branches is {branches}; every branch needs a range to be trained on"
        )
    options.setdefault("find_unused_parameters", len(lengths) > 1)


def _check_optimisation(train: Mapping[str, Any]) -> None:
    optimisers = {"Adam": torch.optim.Adam}  # what BasicSR 1.4.2 builds
    schedulers = {
        "MultiStepLR": lr_scheduler.MultiStepRestartLR,
        "MultiStepRestartLR": lr_scheduler.MultiStepRestartLR,
        "CosineAnnealingRestartLR": lr_scheduler.CosineAnnealingRestartLR,
    }
    for name, choices, given in (
        ("optim_g", optimisers, ("params",)),
        ("scheduler", schedulers, ("optimizer", "last_epoch")),
    ):
        arguments = dict(train[name])
        if "type" not in arguments:
            raise UserError(f"train.{name}.type: missing; one of {', '.join(choices)}")
        kind = choose(arguments.pop("type"), choices, f"train.{name}.type")
        check_arguments(choices[kind], arguments, f"train.{name}", given=given)
    _check_component(LOSS_REGISTRY, train["pixel_opt"], "train.pixel_opt")
    if train["total_iter"] < 1:
        raise UserError(f"train.total_iter: expected at least 1, got {train['total_iter']}")
    if not 0 <= train["ema_decay"] < 1:
        raise UserError(f"train.ema_decay: expected 0 to below 1, got {train['ema_decay']}")


def _check_frequencies(options: Mapping[str, Any]) -> None:
    for section, name in (("val", "val_freq"), ("logger", "print_freq"), ("logger", "save_checkpoint_freq")):
        if options[section][name] < 1:
            raise UserError(f"{section}.{name}: expected at least 1, got {options[section][name]}")
