"""Everything that a run will read is checked before anything is written: data sets, weights, the state to resume."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from clit_plugin.archs.weights import load_trained, load_weights, read_checkpoint, select_weights
from clit_plugin.basicsr_bridge.checkpoint_pairs import read_state, weights_of
from clit_plugin.config.options import Options
from clit_plugin.data.dataset_options import TrainSetOptions, ValSetOptions
from clit_plugin.data.training_set import TrainingSet
from clit_plugin.data.validation_set import ValidationSet
from clit_plugin.metrics.scoring import least_side
from clit_plugin.utils.errors import Problems, UserError, located


def check_files(options: Options, *, with_weights: bool = True) -> None:
    """Check everything that a run will read: every data set, and the weights against the network.

    Args:
        options: Checked options; ``options.net`` gets the weights.
        with_weights: Whether the weights are there yet.

    Raises:
        UserError: Missing or unfit data or weights; all of them.
    """
    problems = Problems()
    ending = None
    if options.val.save_img:  # as BasicSR appends it to the names of images
        ending = str(options.train.total_iter) if options.train else options.val.suffix or options.name
    check_data(options.datasets, least_side(options.val.metrics), problems, result_ending=ending)
    with problems:
        if options.path.resume_state:
            _check_state(options.path.resume_state, options.name)
    with problems:
        if options.path.pretrain_network_g and with_weights:
            _check_weights(options, options.path.pretrain_network_g)
    problems.raise_found()


def checkpoint_bytes(options: Options) -> int:
    """About what a training's weights and its state take on the disk; too much, where the optimiser is not Adam."""
    assert options.train is not None
    parameters = sum(parameter.numel() for parameter in options.net.parameters())
    moments = 2 if "Adam" in options.train.optim_g["type"] else 0
    return 4 * parameters * (1 + bool(options.train.ema_decay) + moments) + 2**16


def check_data(
    datasets: Mapping[str, TrainSetOptions | ValSetOptions],
    least: int,
    problems: Problems,
    *,
    result_ending: str | None = None,
) -> None:
    """Check the images of every set.

    Args:
        datasets: The sets.
        least: Pixels, high and wide, that must be left to score of every validation image.
        problems: What is wrong is added here.
        result_ending: What follows an image's name in its result's; nothing where results are not written.
    """
    for name, dataset in datasets.items():
        with problems, located(f"datasets.{name}"):
            unread = replace(dataset, cache=False)
            if isinstance(unread, TrainSetOptions):
                pairs = TrainingSet(unread).pairs
            else:
                images = ValidationSet(unread)
                images.check_scorable(least)
                if result_ending is not None:
                    images.check_result_names(result_ending)
                pairs = images.pairs
            if dataset.cache:
                pairs.check_cache()


def _check_weights(options: Options, file: str) -> None:
    """Load them into ``options.net``."""
    checkpoint = read_checkpoint(file)
    param_key: str = options.path.param_key_g
    if options.is_train:
        load_weights(options.net, select_weights(checkpoint, param_key, file), file, allow_new_branches=True)
    else:
        load_trained(options.net, checkpoint, param_key, file)


def _check_state(state: str, name: str) -> None:
    """The state and its weights, which are in the run's folder, where BasicSR looks for them."""
    with located("path.resume_state"):
        step = read_state(state)["iter"]
    weights = weights_of(Path("experiments") / name / "models", step)
    if not weights.is_file():
        raise UserError(f"path.resume_state: {state} is of step {step}, whose weights are not there: {weights}")
