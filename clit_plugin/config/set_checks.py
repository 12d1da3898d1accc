"""Checks of ``datasets``: the sets of a training or a test."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from clit_plugin.data.dataset_options import (
    SET_BY_BASICSR,
    DataSets,
    TrainSetOptions,
    ValSetOptions,
    parse_train_set,
    parse_val_set,
)
from clit_plugin.utils.conversion import check_mapping, choose
from clit_plugin.utils.errors import Problems, UserError


def check_sets(raw: Mapping[str, Any], is_train: bool, problems: Problems) -> DataSets:
    """The sets without errors, with their defaults; errors are added to ``problems``."""
    given = raw.get("datasets")
    train: TrainSetOptions | None = None
    scored: dict[str, ValSetOptions] = {}
    for name, dataset in given.items() if isinstance(given, Mapping) else ():
        with problems:
            options = _with_phase(name, dataset, is_train)
            if options["phase"] == "train":
                train = _check_training_set(options, raw.get("manual_seed", 0))
            else:
                scored[name] = parse_val_set(options, f"datasets.{name}")
    if is_train and isinstance(given, Mapping) and "train" not in given:
        problems.add("datasets.train: missing; training needs a set")
    datasets = DataSets(train=train, scored=scored)
    with problems:
        _check_set_names(datasets)
    return datasets


def _check_set_names(datasets: DataSets) -> None:
    """BasicSR keeps best values and images by the set's name, which must be unique."""
    owners: dict[str, str] = {}
    for key, dataset in datasets.by_key.items():
        if other := owners.get(dataset.name):
            raise UserError(f"datasets.{key}.name: {dataset.name} is also the name of datasets.{other}; rename one")
        owners[dataset.name] = key


def check_seed(seed: int, where: str) -> None:
    if not 0 <= seed < 2**32:
        raise UserError(f"{where}: expected 0 to 2^32 - 1, got {seed}")


def _with_phase(name: str, dataset: Any, is_train: bool) -> dict[str, Any]:
    """The options of one set with its phase, which its key determines. Raises UserError for an unknown key or type."""
    phases = ("train", "val") if is_train else ("test", "val")
    phase = str(name).split("_")[0]
    if phase not in phases or (phase == "train" and name != "train"):
        names = "train, val, val_2, ..." if is_train else "test, test_2, ..., val, val_2, ..."
        raise UserError(f"datasets.{name}: unknown key; sets are named {names}")
    check_mapping(dataset, f"datasets.{name}")
    for key in set(SET_BY_BASICSR).intersection(dataset):
        raise UserError(f"datasets.{name}.{key}: unknown key; it is set by the run itself")
    kind = dataset.get("type", "ArbitraryScalePairedDataset")
    choose(kind, ["ArbitraryScalePairedDataset"], f"datasets.{name}.type")
    return {**dataset, "phase": phase}


def _check_training_set(options: Mapping[str, Any], seed: int) -> TrainSetOptions:
    """The training set, whose seed is by default the run's."""
    parsed = parse_train_set(options, "datasets.train")
    if "seed" not in options:
        return replace(parsed, seed=seed)
    check_seed(parsed.seed, "datasets.train.seed")
    return parsed
