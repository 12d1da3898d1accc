"""Checks of the sections that something registered is built from: network, metrics, optimiser, scheduler, loss."""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from basicsr.models import lr_scheduler
from basicsr.utils.registry import ARCH_REGISTRY, LOSS_REGISTRY, METRIC_REGISTRY, Registry

from clit_plugin.archs.encoders import ENCODER_REGISTRY
from clit_plugin.config.sections import TrainOptions
from clit_plugin.utils.conversion import check_mapping, choose
from clit_plugin.utils.error_location import errors_at
from clit_plugin.utils.errors import Problems, UserError
from clit_plugin.utils.schema import check_arguments

_OPTIMISERS = {"Adam": torch.optim.Adam}  # what BasicSR 1.4.2 builds
_SCHEDULERS = {
    "MultiStepLR": lr_scheduler.MultiStepRestartLR,
    "MultiStepRestartLR": lr_scheduler.MultiStepRestartLR,
    "CosineAnnealingRestartLR": lr_scheduler.CosineAnnealingRestartLR,
}


def check_network(network: Mapping[str, Any]) -> dict[str, Any]:
    """Check the keys and types of ``network_g``; return it with the types of its annotations. Nothing is built.

    Raises:
        UserError: An unknown key, or a value of the wrong kind.
    """
    names = [name for name, kind in ARCH_REGISTRY if hasattr(kind, "upscale")]
    problems = Problems()
    checked: dict[str, Any] = {}
    with problems:
        checked = _check_component(ARCH_REGISTRY, network, "network_g", names=names)
    with problems:
        if isinstance(network, Mapping) and isinstance(network.get("encoder"), Mapping):
            checked["encoder"] = _check_component(ENCODER_REGISTRY, network["encoder"], "network_g.encoder")
    problems.raise_found()
    return checked


def check_metrics(metrics: Mapping[str, Any], problems: Problems) -> None:
    """Check ``val.metrics``."""
    # calculate_psnr_pt and calculate_ssim_pt take tensors, but BasicSR's loop passes arrays.
    names = [name for name, _ in METRIC_REGISTRY if not name.endswith("_pt")]
    by_protocol = {"crop_border": 0, "test_y_channel": False}
    for name, options in metrics.items():
        where = f"val.metrics.{name}"
        with problems:
            check_mapping(options, where)
            rest = dict(options)
            choose(rest.pop("better", "higher"), ("higher", "lower"), f"{where}.better")
            _check_component(METRIC_REGISTRY, {**by_protocol, **rest}, where, names=names, given=("img", "img2"))


def check_optimisation(train: TrainOptions, problems: Problems) -> TrainOptions:
    """Check ``train`` by building what BasicSR will build from it, for a single weight; return it completed."""
    weight = [torch.nn.Parameter(torch.zeros(1))]
    # BasicSR's schedulers need an optimiser, even while the one that is asked for is wrong.
    optimiser: Any = torch.optim.Adam(weight)
    with problems:
        train = replace(train, optim_g=_check_choice(_OPTIMISERS, train.optim_g, "train.optim_g", given=("params",)))
        if "lr" not in train.optim_g:
            raise UserError("train.optim_g.lr: missing; the learning rate")
        with errors_at("train.optim_g", torch.optim.Adam):
            optimiser = _build(_OPTIMISERS, train.optim_g, weight)
    if train.total_iter < 1:
        problems.add(f"train.total_iter: expected at least 1, got {train.total_iter}")
    with problems:
        given = ("optimizer", "last_epoch")
        scheduler = _check_choice(_SCHEDULERS, train.scheduler, "train.scheduler", given=given)
        train = replace(train, scheduler=scheduler)
        with errors_at("train.scheduler", _SCHEDULERS[scheduler["type"]]):
            _build(_SCHEDULERS, scheduler, optimiser)
        if sum(scheduler.get("periods", [train.total_iter])) < train.total_iter:
            raise UserError(
                f"train.scheduler.periods: their sum is {sum(scheduler['periods'])}, less than "
                f"train.total_iter, {train.total_iter}"
            )
    with problems:
        train = replace(train, pixel_opt=_check_loss(train.pixel_opt))
    if not 0 <= train.ema_decay < 1:
        problems.add(f"train.ema_decay: expected 0 to below 1, got {train.ema_decay}")
    if train.grad_clip is not None and train.grad_clip <= 0:
        problems.add(f"train.grad_clip: expected more than 0, or null for no limit; got {train.grad_clip}")
    if train.timeout <= 0:
        problems.add(f"train.timeout: expected more than 0 minutes, got {train.timeout:g}")
    for name, minimum in (("max_skipped", 0), ("accumulate", 1)):
        if getattr(train, name) < minimum:
            problems.add(f"train.{name}: expected at least {minimum}, got {getattr(train, name)}")
    return train


def _check_loss(options: Any) -> dict[str, Any]:
    # PerceptualLoss needs images, and would load VGG's weights before it fails.
    names = [name for name, _ in LOSS_REGISTRY if name != "PerceptualLoss"]
    checked = _check_component(LOSS_REGISTRY, options, "train.pixel_opt", names=names)
    kind = LOSS_REGISTRY.get(checked["type"])
    colours = torch.zeros(1, 4, 3)
    with errors_at("train.pixel_opt", kind):
        loss = _build({checked["type"]: kind}, checked)
    with errors_at("train.pixel_opt: fails on sampled colours, (B, Q, 3)", None):
        value = loss(colours, colours)
    if getattr(value, "ndim", None) != 0:
        raise UserError("train.pixel_opt: expected a loss that is a single number; reduction: none is not")
    return checked


def _check_component(
    registry: Registry, options: Any, where: str, *, names: Sequence[str] | None = None, given: Sequence[str] = ()
) -> dict[str, Any]:
    """Check ``{type: NAME, ...}`` against what is registered, or against those of ``names``; return it complete."""
    names = sorted({name.removesuffix("_basicsr") for name in names or registry.keys()})  # not a dict
    check_mapping(options, where)
    if isinstance(options.get("type"), str) and options["type"] in names:
        return _check_choice({options["type"]: registry.get(options["type"])}, options, where, given=given)
    return _check_choice(dict.fromkeys(names), options, where, given=given)  # raises


def _check_choice(choices: Mapping[str, Any], options: Any, where: str, *, given: Sequence[str] = ()) -> dict[str, Any]:
    """Check ``{type: NAME, ...}`` against the signature of that one of ``choices``; return it complete."""
    check_mapping(options, where)
    if "type" not in options:
        raise UserError(f"{where}.type: missing; one of {', '.join(choices)}")
    kind = choose(options["type"], choices, f"{where}.type")
    arguments = {name: value for name, value in options.items() if name != "type"}
    return {"type": kind, **check_arguments(choices[kind], arguments, where, given=given)}


def _build(choices: Mapping[str, Any], options: Mapping[str, Any], *arguments: Any) -> Any:
    """Call the entry of ``choices`` that ``type`` names with the other options."""
    keywords = copy.deepcopy(dict(options))
    return choices[keywords.pop("type")](*arguments, **keywords)
