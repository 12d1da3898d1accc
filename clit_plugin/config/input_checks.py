"""What a run will read is looked at before anything is written: data sets, weights, the state to resume from."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from clit_plugin.archs.build import build_network
from clit_plugin.archs.weights import choose_param_key, load_stage, read_checkpoint, read_weights
from clit_plugin.basicsr_bridge.checkpoint_pairs import read_state, weights_of
from clit_plugin.data.dataset_options import parse_train_set, parse_val_set
from clit_plugin.data.training_set import TrainingSet
from clit_plugin.data.validation_set import ValidationSet
from clit_plugin.metrics.scoring import least_side
from clit_plugin.utils.errors import Problems, UserError, located


def check_files(options: Mapping[str, Any], *, with_weights: bool = True) -> None:
    """Look at everything that a run will read: every data set, and the weights against the network.

    Raises:
        UserError: Missing or unfit data or weights; all of them.
    """
    problems = Problems()
    ending = None
    if options["val"]["save_img"]:  # as BasicSR puts it behind the names of images
        is_train = "train" in options["datasets"]
        ending = str(options["train"]["total_iter"]) if is_train else options["val"]["suffix"] or options["name"]
    check_data(options, least_side(options["val"]["metrics"]), problems, result_ending=ending)
    state = options["path"].get("resume_state")
    with problems:
        if state:
            _check_state(state, options["name"])
    weights = options["path"].get("pretrain_network_g")
    with problems:
        if weights and with_weights:
            net = build_network(options["network_g"])
            param_key, is_train = options["path"].get("param_key_g", "auto"), "train" in options["datasets"]
            if not is_train:
                param_key = choose_param_key(read_checkpoint(weights), param_key, weights)
            load_stage(net, read_weights(weights, param_key), weights, allow_new_branches=is_train)
    problems.raise_found()


def checkpoint_bytes(options: Mapping[str, Any]) -> int:
    """What a training's weights and its state take on the disk, about; more, where the optimiser is not Adam's kin."""
    parameters = sum(parameter.numel() for parameter in build_network(options["network_g"]).parameters())
    moments = 2 if "Adam" in options["train"]["optim_g"]["type"] else 0
    return 4 * parameters * (1 + bool(options["train"]["ema_decay"]) + moments) + 2**16


def check_data(options: Mapping[str, Any], least: int, problems: Problems, *, result_ending: str | None = None) -> None:
    """Look at the images of every set: ``least`` pixels must be left to score, results that are written need names."""
    for name, dataset in options["datasets"].items():
        with problems, located(f"datasets.{name}"):
            options = {**dataset, "phase": name.split("_")[0], "cache": False}
            if options["phase"] == "train":
                pairs = TrainingSet(parse_train_set(options, f"datasets.{name}")).pairs
            else:
                images = ValidationSet(parse_val_set(options, f"datasets.{name}"))
                images.check_scorable(least)
                if result_ending is not None:
                    images.check_result_names(result_ending)
                pairs = images.pairs
            if dataset["cache"]:
                pairs.check_cache()


def _check_state(state: str, name: str) -> None:
    """The state and, in the run's folder where BasicSR looks for them, its weights."""
    with located("path.resume_state"):
        step = read_state(state)["iter"]
    weights = weights_of(Path("experiments") / name / "models", step)
    if not weights.is_file():
        raise UserError(f"path.resume_state: {state} is of step {step}, whose weights are not there: {weights}")
