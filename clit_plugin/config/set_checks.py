"""Checks of ``datasets``: the sets of a training or a test."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, TypeAlias

from clit_plugin.data.dataset_options import (
    SET_BY_BASICSR,
    TrainSetOptions,
    ValSetOptions,
    parse_train_set,
    parse_val_set,
)
from clit_plugin.utils.errors import Problems, UserError
from clit_plugin.utils.schema import check_mapping, choose

Sets: TypeAlias = dict[str, TrainSetOptions | ValSetOptions]


def check_sets(raw: Mapping[str, Any], is_train: bool, problems: Problems) -> Sets:
    """The sets that are good, with their defaults."""
    given = raw.get("datasets")
    checked: Sets = {}
    for name, dataset in given.items() if isinstance(given, Mapping) else ():
        with problems:
            checked[name] = _check_set(name, dataset, is_train, raw.get("manual_seed", 0))
    if is_train and isinstance(given, Mapping) and "train" not in given:
        problems.add("datasets.train: missing; training needs a set")
    with problems:
        _check_set_names(checked)
    return checked


def _check_set_names(datasets: Sets) -> None:
    """BasicSR keeps best values and images by name, so those of two sets of one name would mix."""
    owners: dict[str, str] = {}
    for key, dataset in datasets.items():
        if other := owners.get(dataset.name):
            raise UserError(f"datasets.{key}.name: {dataset.name} is that of datasets.{other}, too; rename one")
        owners[dataset.name] = key


def check_seed(seed: int, where: str) -> None:
    if not 0 <= seed < 2**32:
        raise UserError(f"{where}: expected 0 to 2^32 - 1, got {seed}")


def _check_set(name: str, dataset: Any, is_train: bool, seed: int) -> TrainSetOptions | ValSetOptions:
    """Check one data set and return its options with their defaults, some of which BasicSR lacks."""
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
    if phase != "train":
        return parse_val_set({**dataset, "phase": phase}, f"datasets.{name}")
    parsed = parse_train_set({**dataset, "phase": phase}, f"datasets.{name}")
    if "seed" not in dataset:
        return replace(parsed, seed=seed)
    check_seed(parsed.seed, f"datasets.{name}.seed")
    return parsed
