"""The options of one run: checked, typed and complete."""

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from torch import nn

from clit_plugin.config.sections import LoggerOptions, PathOptions, TrainOptions, ValOptions
from clit_plugin.data.dataset_options import SET_BY_BASICSR, DataSets, SetOptions


@dataclass(frozen=True, kw_only=True)
class Options:
    """What ``option_checks`` returns; the keys are documented in ``sections``.

    Attributes:
        net: Built from ``network_g`` for the checks, with random weights; training and test build their own.
        train: None for a test.
    """

    name: str
    model_type: str
    num_gpu: int | Literal["auto"]
    manual_seed: int
    find_unused_parameters: bool | None
    custom_imports: Mapping[str, Any] | None
    network_g: Mapping[str, Any]
    net: nn.Module = field(repr=False, compare=False)
    datasets: DataSets
    path: PathOptions
    train: TrainOptions | None
    val: ValOptions
    logger: LoggerOptions

    @property
    def is_train(self) -> bool:
        """Whether they are for training, not for a test."""
        return self.train is not None

    def for_basicsr(self) -> dict[str, Any]:
        """New dicts for BasicSR's pipelines, which may modify them."""
        options = {name: value for name, value in vars(self).items() if name != "net"}
        options["datasets"] = {key: set_for_basicsr(dataset) for key, dataset in self.datasets.by_key.items()}
        for name in ("path", "train", "val", "logger"):
            if options[name] is None:
                del options[name]
            else:
                options[name] = dict(vars(options[name]))
        return copy.deepcopy(options)


def set_for_basicsr(dataset: SetOptions) -> dict[str, Any]:
    """Options of one data set as a dict, without what BasicSR adds to it."""
    return {key: value for key, value in vars(dataset).items() if key not in SET_BY_BASICSR}
