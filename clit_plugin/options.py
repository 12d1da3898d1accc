"""Checked options: every key and value is known to be good before anything is written."""

import copy
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from basicsr.models import lr_scheduler
from basicsr.utils.registry import ARCH_REGISTRY, LOSS_REGISTRY, METRIC_REGISTRY, Registry

from clit_plugin.archs.encoders import ENCODER_REGISTRY
from clit_plugin.data.arbitrary_scale_paired_dataset import ArbitraryScalePairedDataset
from clit_plugin.data.dataset_options import SET_BY_BASICSR, complete_set
from clit_plugin.errors import UserError
from clit_plugin.metrics.scoring import least_side
from clit_plugin.models.warm_start import choose_param_key, load_stage, read_checkpoint, read_weights
from clit_plugin.option_sections import SECTIONS, RunOptions
from clit_plugin.schema import check_arguments, check_mapping, choose, parse
from clit_plugin.yaml_files import read_options


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
    _check_run(run, options)
    if is_train and options["path"]["param_key_g"] == "auto":
        options["path"]["param_key_g"] = "params"  # what the optimiser goes on with
    options["network_g"] = check_network(run.network_g)
    _check_metrics(options["val"]["metrics"])
    for name, dataset in run.datasets.items():
        options["datasets"][name] = _check_set(name, dataset, is_train, run.manual_seed)
    _check_set_names(options["datasets"])
    if is_train:
        _check_training(options)
    elif not options["datasets"]:
        raise UserError("datasets: expected at least one set to test on")
    elif not options["path"].get("pretrain_network_g") and has_weights(options["network_g"]):
        raise UserError("path.pretrain_network_g: missing; a test needs trained weights")
    options.update(manual_seed=run.manual_seed, num_gpu=run.num_gpu, model_type=run.model_type)
    return options


def check_files(options: Mapping[str, Any], *, with_weights: bool = True) -> None:
    """Look at everything that a run will read: every data set, and the weights against the network.

    Raises:
        UserError: Missing or unfit data or weights.
    """
    least = least_side(options["val"]["metrics"])
    for name, dataset in options["datasets"].items():
        try:
            images = ArbitraryScalePairedDataset({**dataset, "phase": name.split("_")[0], "cache": False})
            images.check_scorable(least)
        except UserError as error:
            raise UserError(f"datasets.{name}: {str(error).removeprefix('datasets.')}") from error
        if dataset.get("prefetch_mode") == "cuda" and not torch.cuda.is_available():
            raise UserError(f"datasets.{name}.prefetch_mode: cuda needs a GPU, and torch sees none here")
    state = options["path"].get("resume_state")
    if state and "iter" not in read_checkpoint(state):
        raise UserError(f"path.resume_state: {state} is not a training state; expected one of training_states/*.state")
    weights = options["path"].get("pretrain_network_g")
    if weights and with_weights:
        net = build_network(options["network_g"])
        param_key, is_train = options["path"].get("param_key_g", "auto"), "train" in options["datasets"]
        if not is_train:
            param_key = choose_param_key(read_checkpoint(weights), param_key, weights)
        load_stage(net, read_weights(weights, param_key), weights, allow_new_branches=is_train)


def build_network(network: Mapping[str, Any]) -> torch.nn.Module:
    """Build a network from its options.

    Raises:
        UserError: A value that the network or its encoder refuses.
    """
    arguments = {name: value for name, value in copy.deepcopy(dict(network)).items() if name != "type"}
    with _blaming("network_g"):
        return ARCH_REGISTRY.get(network["type"])(**arguments)


def check_network(network: Mapping[str, Any]) -> dict[str, Any]:
    """Check ``network_g``; return it with what it lacks filled in.

    Raises:
        UserError: An unknown key, a value of the wrong kind, or one that the network refuses.
    """
    names = [name for name, kind in ARCH_REGISTRY if hasattr(kind, "upscale")]
    checked = _check_component(ARCH_REGISTRY, network, "network_g", names=names)
    if "encoder" in network:
        checked["encoder"] = _check_component(ENCODER_REGISTRY, network["encoder"], "network_g.encoder")
    build_network(checked)
    return checked


@contextmanager
def _blaming(where: str) -> Iterator[None]:
    """Turn what a constructor raises into a UserError that names the options."""
    try:
        yield
    except (ArithmeticError, AssertionError, LookupError, RuntimeError, TypeError, ValueError) as error:
        raise UserError(f"{where}: {' '.join(str(error).split()) or type(error).__name__}") from error


def _check_run(run: RunOptions, options: Mapping[str, Any]) -> None:
    folder = Path(run.name)
    if not folder.parts or folder.is_absolute() or ".." in folder.parts:
        raise UserError(f"name: expected the name of a folder below experiments/ or results/, got {run.name!r}")
    _check_seed(run.manual_seed, "manual_seed")
    if not options["path"]["strict_load_g"]:
        raise UserError("path.strict_load_g: false is not supported; a new branch may be missing in any case")
    for section, name in (("val", "val_freq"), ("logger", "print_freq"), ("logger", "save_checkpoint_freq")):
        if options[section][name] < 1:
            raise UserError(f"{section}.{name}: expected at least 1, got {options[section][name]}")
    if (options["logger"]["wandb"] or {}).get("project") and not options["logger"]["use_tb_logger"]:
        raise UserError("logger.wandb: needs use_tb_logger, whose values it copies")


def _check_set_names(datasets: Mapping[str, Any]) -> None:
    """BasicSR keeps best values and images by name, so two sets of one name would mix theirs."""
    owners: dict[str, str] = {}
    for key, dataset in datasets.items():
        if other := owners.get(dataset["name"]):
            raise UserError(f"datasets.{key}.name: {dataset['name']} is that of datasets.{other}, too; rename one")
        owners[dataset["name"]] = key


def _check_seed(seed: int, where: str) -> None:
    if not 0 <= seed < 2**32:
        raise UserError(f"{where}: expected 0 to 2^32 - 1, got {seed}")


def _check_metrics(metrics: Mapping[str, Any]) -> None:
    # calculate_psnr_pt and calculate_ssim_pt take tensors, which BasicSR's loop does not hand out.
    names = [name for name, _ in METRIC_REGISTRY if not name.endswith("_pt")]
    by_protocol = {"crop_border": 0, "test_y_channel": False}
    for name, options in metrics.items():
        where = f"val.metrics.{name}"
        check_mapping(options, where)
        rest = dict(options)
        choose(rest.pop("better", "higher"), ("higher", "lower"), f"{where}.better")
        _check_component(METRIC_REGISTRY, {**by_protocol, **rest}, where, names=names, given=("img", "img2"))


def _check_component(
    registry: Registry, options: Any, where: str, *, names: Sequence[str] | None = None, given: Sequence[str] = ()
) -> dict[str, Any]:
    """Check ``{type: NAME, ...}`` against what is registered, or against those of ``names``; return what is built."""
    check_mapping(options, where)
    names = sorted({name.removesuffix("_basicsr") for name in names or registry.keys()})  # not a dict
    if "type" not in options:
        raise UserError(f"{where}.type: missing; one of {', '.join(names)}")
    choose(options["type"], names, f"{where}.type")
    arguments = {name: value for name, value in options.items() if name != "type"}
    return {"type": options["type"], **check_arguments(registry.get(options["type"]), arguments, where, given=given)}


def _check_set(name: str, dataset: Any, is_train: bool, seed: int) -> dict[str, Any]:
    """Check one data set and return its options with their defaults, of which BasicSR lacks some."""
    phases = ("train", "val") if is_train else ("test", "val")
    phase = str(name).split("_")[0]
    if phase not in phases or (phase == "train" and name != "train"):
        names = "train, val, val_2, ..." if is_train else "test, test_2, ..., val, val_2, ..."
        raise UserError(f"datasets.{name}: unknown key; sets are named {names}")
    check_mapping(dataset, f"datasets.{name}")
    for key in set(SET_BY_BASICSR).intersection(dataset):
        raise UserError(f"datasets.{name}.{key}: unknown key; it is set while the run is made")
    kind = dataset.get("type", "ArbitraryScalePairedDataset")
    choose(kind, ["ArbitraryScalePairedDataset"], f"datasets.{name}.type")
    parsed = complete_set(dataset, phase=phase, where=f"datasets.{name}")
    if phase == "train" and "seed" not in dataset:
        parsed["seed"] = seed
    _check_seed(parsed.get("seed", 0), f"datasets.{name}.seed")
    return parsed


def has_weights(network: Mapping[str, Any]) -> bool:
    """Whether a network has anything to train or to load."""
    return bool(build_network(network).state_dict())


def _check_training(options: dict[str, Any]) -> None:
    if not has_weights(options["network_g"]):
        raise UserError(f"network_g.type: {options['network_g']['type']} has no weights to train")
    if "train" not in options["datasets"]:
        raise UserError("datasets.train: missing; training needs a set")
    _check_optimisation(options["train"])
    lengths = {len(alternative) for alternative in options["datasets"]["train"]["scale_ranges"]}
    branches = options["network_g"].get("num_branches", 1)
    if max(lengths) != branches:
        raise UserError(
            f"datasets.train.scale_ranges: the longest alternative lists {max(lengths)} scale(s), but "
            f"network_g.num_branches is {branches}; every branch needs a range to be trained on"
        )
    if options.get("find_unused_parameters") is None:
        options["find_unused_parameters"] = len(lengths) > 1


def _check_optimisation(train: dict[str, Any]) -> None:
    """Check ``train`` and build what BasicSR will build of it, on a single weight."""
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
        train[name] = {"type": kind, **check_arguments(choices[kind], arguments, f"train.{name}", given=given)}
    if "lr" not in train["optim_g"]:
        raise UserError("train.optim_g.lr: missing; the learning rate")
    with _blaming("train.optim_g"):
        optimiser = _build(optimisers, train["optim_g"], [torch.nn.Parameter(torch.zeros(1))])
    with _blaming("train.scheduler"):
        _build(schedulers, train["scheduler"], optimiser)
    if train["total_iter"] < 1:
        raise UserError(f"train.total_iter: expected at least 1, got {train['total_iter']}")
    if sum(train["scheduler"].get("periods", [train["total_iter"]])) < train["total_iter"]:
        raise UserError(
            f"train.scheduler.periods: their sum is {sum(train['scheduler']['periods'])}, less than train.total_iter, "
            f"{train['total_iter']}"
        )
    _check_loss(train)
    if not 0 <= train["ema_decay"] < 1:
        raise UserError(f"train.ema_decay: expected 0 to below 1, got {train['ema_decay']}")


def _check_loss(train: dict[str, Any]) -> None:
    # PerceptualLoss would load VGG's weights only to find no image.
    names = [name for name, _ in LOSS_REGISTRY if name != "PerceptualLoss"]
    train["pixel_opt"] = _check_component(LOSS_REGISTRY, train["pixel_opt"], "train.pixel_opt", names=names)
    colours = torch.zeros(1, 4, 3)
    with _blaming("train.pixel_opt"):
        loss = _build(dict(iter(LOSS_REGISTRY)), train["pixel_opt"])
    with _blaming("train.pixel_opt: fails on sampled colours, (B, Q, 3)"):
        value = loss(colours, colours)
    if getattr(value, "ndim", None) != 0:
        raise UserError("train.pixel_opt: expected a loss that is a single number; reduction: none is not")


def _build(choices: Mapping[str, Any], options: Mapping[str, Any], *arguments: Any) -> Any:
    """Call the one of ``choices`` that ``type`` names with the other options."""
    keywords = copy.deepcopy(dict(options))
    return choices[keywords.pop("type")](*arguments, **keywords)
