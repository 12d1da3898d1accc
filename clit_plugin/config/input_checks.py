"""Checks of everything that a run will read, before anything is written: data sets, weights, the state to resume."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from clit_plugin.archs.weights import load_trained, load_weights, read_checkpoint, select_weights
from clit_plugin.basicsr_bridge.checkpoint_pairs import read_state, weights_of
from clit_plugin.config.options import Options
from clit_plugin.data.dataset_options import DataSets, SetOptions
from clit_plugin.data.image_pairs import ImagePairs
from clit_plugin.data.training_set import TrainingSet
from clit_plugin.data.validation_set import ValidationSet
from clit_plugin.metrics.scoring import least_side
from clit_plugin.utils.errors import Problems, UserError, located


def check_files(options: Options, *, with_weights: bool = True) -> Options:
    """Check everything that a run will read: every data set, and the weights against the network.

    Args:
        options: Checked options; ``options.net`` gets the weights.
        with_weights: Whether the weights exist yet, and have not been loaded.

    Returns:
        The options, with ``path.param_key_g`` of a test settled: no longer ``auto``.

    Raises:
        UserError: All missing or unsuitable data and weights.
    """
    problems = Problems()
    ending = None
    if options.val.save_img:  # BasicSR appends it to the names of images
        ending = str(options.train.total_iter) if options.train else options.val.suffix or options.name
    check_data(options.datasets, least_side(options.val.metrics), problems, result_ending=ending)
    with problems:
        if options.path.resume_state:
            _check_state(options.path.resume_state, options.name)
    with problems:
        if options.path.pretrain_network_g and with_weights:
            param_key: Any = _load_weights(options, options.path.pretrain_network_g)
            options = replace(options, path=replace(options.path, param_key_g=param_key))
    problems.raise_found()
    return options


def checkpoint_bytes(options: Options) -> int:
    """Approximate size on disk of a training's weights and state."""
    assert options.train is not None
    parameters = sum(parameter.numel() for parameter in options.net.parameters())
    moments = 2 if "Adam" in options.train.optim_g["type"] else 0
    return 4 * parameters * (1 + bool(options.train.ema_decay) + moments) + 2**16


def check_data(datasets: DataSets, min_side: int, problems: Problems, *, result_ending: str | None = None) -> None:
    """Check the images of every set.

    Args:
        datasets: The sets.
        min_side: Height and width in pixels that must remain of every validation image for scoring.
        problems: Collects the problems.
        result_ending: The ending of the file names of results; None if results are not written.
    """
    if datasets.train is not None:
        with problems, located("datasets.train"):
            _check_cache(TrainingSet(replace(datasets.train, cache=False)).pairs, datasets.train)
    for name, dataset in datasets.scored.items():
        with problems, located(f"datasets.{name}"):
            images = ValidationSet(replace(dataset, cache=False))
            images.check_scorable(min_side)
            if result_ending is not None:
                images.check_result_names(result_ending)
            _check_cache(images.pairs, dataset)


def _check_cache(pairs: ImagePairs, dataset: SetOptions) -> None:
    if dataset.cache:
        pairs.check_cache()


def _load_weights(options: Options, file: str) -> str:
    """Load the weights of a file into ``options.net``; returns their key."""
    checkpoint = read_checkpoint(file)
    param_key: str = options.path.param_key_g
    if not options.is_train:
        return load_trained(options.net, checkpoint, param_key, file)
    load_weights(options.net, select_weights(checkpoint, param_key, file), file, allow_new_branches=True)
    return param_key


def _check_state(state: str, name: str) -> None:
    """Check the state and its weights, which BasicSR looks for in the run's folder."""
    with located("path.resume_state"):
        step = read_state(state)["iter"]
    weights = weights_of(Path("experiments") / name / "models", step)
    if not weights.is_file():
        raise UserError(f"path.resume_state: {state} is of step {step}, whose weights are missing: {weights}")
