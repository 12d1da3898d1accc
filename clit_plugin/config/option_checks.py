"""Checked options: every key and value is checked before anything is written."""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from torch import nn

from clit_plugin.archs.build import build_network
from clit_plugin.config.basicsr_options import translate
from clit_plugin.config.components import check_metrics, check_network, check_optimisation
from clit_plugin.config.input_checks import check_data
from clit_plugin.config.options import Options
from clit_plugin.config.sections import SECTIONS, LoggerOptions, PathOptions, RunOptions, TrainOptions, ValOptions
from clit_plugin.config.set_checks import check_seed, check_sets
from clit_plugin.config.yaml_files import read_options
from clit_plugin.data.dataset_options import TrainSetOptions
from clit_plugin.utils.conversion import choose
from clit_plugin.utils.errors import Problems, located
from clit_plugin.utils.path_names import check_path_name
from clit_plugin.utils.schema import Section, parse

S = TypeVar("S", bound=Section)


@dataclass(frozen=True, kw_only=True)
class OptionFile:
    """An option file, read and checked.

    Attributes:
        path: As the user gave it.
        requested: Content of the file with what it inherits and with overrides.
        options: Checked, translated and completed with defaults.
        notes: One line for every translated or ignored key.
    """

    path: str
    requested: dict[str, Any]
    options: Options
    notes: list[str]


def load_option_file(path: str | Path, *, is_train: bool, overrides: Sequence[str] = ()) -> OptionFile:
    """Read and check an option file.

    Args:
        path: See ``read_options``.
        is_train: Whether the file is for training or for a test.
        overrides: ``key=value``, as in ``read_options``.

    Raises:
        UserError: All problems, including those of the data sets' images, one line each: the key, what was expected
            and the nearest valid key.
    """
    with located(str(path)):
        requested = read_options(path, overrides)
        options, notes = _check(requested, is_train, None)
    return OptionFile(path=str(path), requested=requested, options=options, notes=[f"{path}: {note}" for note in notes])


def check_options(given: Mapping[str, Any], *, is_train: bool, net: nn.Module | None = None) -> Options:
    """Check options and fill in defaults.

    Args:
        given: The options as read from YAML.
        is_train: Whether they are for training or for a test.
        net: The network, if ``network_g`` has been checked and built already.

    Raises:
        UserError: As ``load_option_file``.
    """
    return _check(given, is_train, net)[0]


def _check(given: Mapping[str, Any], is_train: bool, net: nn.Module | None) -> tuple[Options, list[str]]:
    """Checked options, and the notes on what was translated."""
    raw: dict[str, Any] = copy.deepcopy(dict(given))
    problems = Problems()
    notes: list[str] = []
    run: RunOptions | None = None
    with problems:
        notes = translate(raw)
    with problems:
        run = parse(RunOptions, raw, "")
    path, val = _section(PathOptions, raw, problems), _section(ValOptions, raw, problems)
    logger = _section(LoggerOptions, raw, problems)
    _check_run(raw, path, val, logger, problems)
    network, net = (raw["network_g"], net) if net else _check_network(raw, problems)
    datasets = check_sets(raw, is_train, problems)
    train = None
    if is_train:
        if path and path.param_key_g == "auto":
            path = replace(path, param_key_g="params")  # the weights that the optimiser continues with
        train = _check_training(raw, network, net, datasets.train, problems)
    elif not datasets.scored and not problems.found:
        problems.add("datasets: expected at least one set to test on")
    elif net and path and not path.pretrain_network_g and net.state_dict():
        problems.add("path.pretrain_network_g: missing; a test needs trained weights")
    if problems.found:  # otherwise images are checked once it is known which stages will run
        check_data(datasets, 1, problems)
    problems.raise_found()
    assert run and net and path and val and logger  # else there were problems
    options = Options(
        name=run.name,
        model_type=run.model_type,
        num_gpu=run.num_gpu,
        manual_seed=run.manual_seed,
        find_unused_parameters=_find_unused(run, datasets.train),
        custom_imports=run.custom_imports,
        network_g=network,
        net=net,
        datasets=datasets,
        path=path,
        train=train,
        val=val,
        logger=logger,
    )
    return options, notes


def _section(kind: type[S], raw: Mapping[str, Any], problems: Problems) -> S | None:
    """A section with its defaults, or None if it has errors."""
    name = next(name for name, section in SECTIONS.items() if section is kind)
    given = raw.get(name)
    if given is None or isinstance(given, Mapping):  # otherwise reported with the top level
        with problems:
            return parse(kind, given or {}, name)
    return None


def _check_run(
    raw: Mapping[str, Any],
    path: PathOptions | None,
    val: ValOptions | None,
    logger: LoggerOptions | None,
    problems: Problems,
) -> None:
    if isinstance(raw.get("name"), str):  # otherwise reported with the top level
        with problems:
            check_path_name(raw["name"], "name", "the name of a folder below experiments/ or results/")
    if val and val.suffix:
        with problems:
            check_path_name(val.suffix, "val.suffix", "an ending of file names")
    with problems:
        check_seed(raw.get("manual_seed", 0), "manual_seed")
    if path and not path.strict_load_g:
        problems.add("path.strict_load_g: false is not supported; a new branch may be missing in any case")
    if val and val.val_freq < 1:
        problems.add(f"val.val_freq: expected at least 1, got {val.val_freq}")
    if logger:
        for key in ("print_freq", "save_checkpoint_freq"):
            if getattr(logger, key) < 1:
                problems.add(f"logger.{key}: expected at least 1, got {getattr(logger, key)}")
        if (logger.wandb or {}).get("project") and not logger.use_tb_logger:
            problems.add("logger.wandb: needs use_tb_logger: true, as it copies TensorBoard's values")
        if logger.keep is not None and logger.keep < 1:
            problems.add(f"logger.keep: expected at least 1, or null to keep all; got {logger.keep}")
    if val:
        check_metrics(val.metrics, problems)
        if logger and logger.keep_best is not None:
            with problems:
                choose(logger.keep_best, val.metrics, "logger.keep_best")


def _check_network(raw: Mapping[str, Any], problems: Problems) -> tuple[dict[str, Any], nn.Module | None]:
    """Checked ``network_g``, and the network if it can be built."""
    with problems:
        if isinstance(raw.get("network_g"), Mapping):  # otherwise reported with the top level
            network = check_network(raw["network_g"])
            return network, build_network(network)
    return {}, None


def _check_training(
    raw: Mapping[str, Any],
    network: Mapping[str, Any],
    net: nn.Module | None,
    images: TrainSetOptions | None,
    problems: Problems,
) -> TrainOptions | None:
    if net and not net.state_dict():
        problems.add(f"network_g.type: {network['type']} has no weights to train")
    train = _section(TrainOptions, raw, problems)
    if train:
        train = check_optimisation(train, problems)
    if images is None:
        return train
    batch = images.batch_size_per_gpu
    if train and train.accumulate > 1 and batch % train.accumulate:
        problems.add(
            f"train.accumulate: {train.accumulate} parts of datasets.train.batch_size_per_gpu, {batch}, would differ"
        )
    longest = max(_lengths(images))
    branches = network.get("num_branches", 1) if net else longest
    if longest != branches:
        problems.add(
            f"datasets.train.scale_ranges: the longest alternative lists {longest} scale(s), but "
            f"network_g.num_branches is {branches}; every branch needs a range to be trained on"
        )
    return train


def _lengths(images: TrainSetOptions) -> set[int]:
    """How many branches the alternatives of ``scale_ranges`` use."""
    return {len(alternative) for alternative in images.scale_ranges}


def _find_unused(run: RunOptions, images: TrainSetOptions | None) -> bool | None:
    """DDP has to look for unused parameters if some alternatives use fewer branches."""
    if run.find_unused_parameters is None and images is not None:
        return len(_lengths(images)) > 1
    return run.find_unused_parameters
