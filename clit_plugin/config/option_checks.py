"""Checked options: every key and value is known to be good before anything is written."""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clit_plugin.config.basicsr_options import translate
from clit_plugin.config.components import check_metrics, check_network, check_optimisation, has_weights
from clit_plugin.config.input_checks import check_data
from clit_plugin.config.sections import SECTIONS, RunOptions
from clit_plugin.config.yaml_files import read_options
from clit_plugin.data.dataset_options import SET_BY_BASICSR, complete_set
from clit_plugin.utils.errors import Problems, UserError, located
from clit_plugin.utils.path_names import check_path_name
from clit_plugin.utils.schema import check_mapping, choose, parse


@dataclass(frozen=True, kw_only=True)
class Run:
    """An option file, read and checked.

    Attributes:
        path: As it was given.
        asked: What the file, what it inherits and the overrides say.
        options: For BasicSR: checked, translated, with the defaults that were lacking.
        notes: What was translated or ignored, a line each.
    """

    path: str
    asked: dict[str, Any]
    options: dict[str, Any]
    notes: list[str]


def load_run(path: str | Path, *, is_train: bool, overrides: Sequence[str] = ()) -> Run:
    """Read and check an option file.

    Args:
        path: See ``read_options``.
        is_train: Whether the file is for training or for a test.
        overrides: ``key=value``, as in ``read_options``.

    Raises:
        UserError: Everything that is wrong, data sets' images included, a line each: the key, what was expected and
            the nearest valid key.
    """
    with located(str(path)):
        problems = Problems()
        asked = read_options(path, overrides)
        options, notes = _checked(asked, is_train, problems)
        if problems.found:  # else they are looked at when it is known which stages are to run
            check_data(options, 1, problems)
        problems.raise_found()
    return Run(path=str(path), asked=asked, options=options, notes=[f"{path}: {note}" for note in notes])


def load_options(path: str | Path, *, is_train: bool, overrides: Sequence[str] = ()) -> dict[str, Any]:
    """The options of ``load_run``, which see."""
    return load_run(path, is_train=is_train, overrides=overrides).options


def check_options(given: Mapping[str, Any], *, is_train: bool) -> dict[str, Any]:
    """Check options and fill in defaults; the argument is not changed. Raises UserError as ``load_run``."""
    problems = Problems()
    options, _ = _checked(given, is_train, problems)
    problems.raise_found()
    return options


def _checked(given: Mapping[str, Any], is_train: bool, problems: Problems) -> tuple[dict[str, Any], list[str]]:
    """Options with their defaults, as far as they are good, and what was translated."""
    options: dict[str, Any] = copy.deepcopy(dict(given))
    notes: list[str] = []
    with problems:
        notes = translate(options)
    with problems:
        options |= {name: value for name, value in vars(parse(RunOptions, options, "")).items() if name not in SECTIONS}
    good = {name: _check_section(name, options, problems) for name in ("path", "val", "logger")}
    options |= {name: section for name, section in good.items() if section is not None}
    _check_run(options, good, problems)
    if is_train and good["path"] and good["path"]["param_key_g"] == "auto":
        good["path"]["param_key_g"] = "params"  # what the optimiser goes on with
    network = None
    with problems:
        if isinstance(options.get("network_g"), Mapping):
            network = options["network_g"] = check_network(options["network_g"])
    options["datasets"] = _check_sets(options, is_train, problems)
    if is_train:
        _check_training(options, network, problems)
    elif not options["datasets"] and not problems.found:
        problems.add("datasets: expected at least one set to test on")
    elif network and good["path"] and not good["path"].get("pretrain_network_g") and has_weights(network):
        problems.add("path.pretrain_network_g: missing; a test needs trained weights")
    return options, notes


def _check_section(name: str, options: Mapping[str, Any], problems: Problems) -> dict[str, Any] | None:
    """A section with its defaults, or nothing where it is wrong."""
    given = options.get(name)
    if given is None or isinstance(given, Mapping):  # else it is told with the top level
        with problems:
            return dict(vars(parse(SECTIONS[name], given or {}, name)))
    return None


def _check_run(options: Mapping[str, Any], good: Mapping[str, Any], problems: Problems) -> None:
    if isinstance(options.get("name", ""), str) and "name" in options:  # else it is told with the top level
        with problems:
            check_path_name(options["name"], "name", "the name of a folder below experiments/ or results/")
    if good["val"] and good["val"]["suffix"]:
        with problems:
            check_path_name(good["val"]["suffix"], "val.suffix", "an ending of file names")
    with problems:
        _check_seed(options.get("manual_seed", 0), "manual_seed")
    if good["path"] and not good["path"]["strict_load_g"]:
        problems.add("path.strict_load_g: false is not supported; a new branch may be missing in any case")
    for section, key in (("val", "val_freq"), ("logger", "print_freq"), ("logger", "save_checkpoint_freq")):
        if good[section] and good[section][key] < 1:
            problems.add(f"{section}.{key}: expected at least 1, got {good[section][key]}")
    logger = good["logger"]
    if logger and (logger["wandb"] or {}).get("project") and not logger["use_tb_logger"]:
        problems.add("logger.wandb: needs use_tb_logger, whose values it copies")
    if logger and logger["keep"] is not None and logger["keep"] < 1:
        problems.add(f"logger.keep: expected at least 1, or nothing to keep all; got {logger['keep']}")
    if good["val"]:
        check_metrics(good["val"]["metrics"], problems)
        if logger and logger["keep_best"] is not None:
            with problems:
                choose(logger["keep_best"], good["val"]["metrics"], "logger.keep_best")


def _check_sets(options: Mapping[str, Any], is_train: bool, problems: Problems) -> dict[str, Any]:
    """The sets that are good, with their defaults."""
    given = options.get("datasets")
    checked: dict[str, Any] = {}
    for name, dataset in given.items() if isinstance(given, Mapping) else ():
        with problems:
            checked[name] = _check_set(name, dataset, is_train, options.get("manual_seed", 0))
    if is_train and isinstance(given, Mapping) and "train" not in given:
        problems.add("datasets.train: missing; training needs a set")
    with problems:
        _check_set_names(checked)
    return checked


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
    elif phase == "train":
        _check_seed(parsed["seed"], f"datasets.{name}.seed")
    return parsed


def _check_training(options: dict[str, Any], network: Mapping[str, Any] | None, problems: Problems) -> None:
    if network and not has_weights(network):
        problems.add(f"network_g.type: {network['type']} has no weights to train")
    train = _check_section("train", options, problems)
    if train:
        options["train"] = train
        check_optimisation(train, problems)
    batch = options["datasets"].get("train", {}).get("batch_size_per_gpu")
    if train and batch and train["accumulate"] > 1 and batch % train["accumulate"]:
        problems.add(
            f"train.accumulate: {train['accumulate']} parts of datasets.train.batch_size_per_gpu, {batch}, would differ"
        )
    alternatives = options["datasets"].get("train", {}).get("scale_ranges")
    if not alternatives:
        return
    lengths = {len(alternative) for alternative in alternatives}
    branches = network.get("num_branches", 1) if network else max(lengths)
    if max(lengths) != branches:
        problems.add(
            f"datasets.train.scale_ranges: the longest alternative lists {max(lengths)} scale(s), but "
            f"network_g.num_branches is {branches}; every branch needs a range to be trained on"
        )
    if options.get("find_unused_parameters") is None:
        options["find_unused_parameters"] = len(lengths) > 1
