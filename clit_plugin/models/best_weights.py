"""Which weights of a training are the best by the mean of a metric over all validation sets."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from clit_plugin.archs.weights import read_checkpoint
from clit_plugin.evaluation.results import mean


class BestWeights:
    """Decides, after the last set of a validation, whether its weights are the best so far.

    The file itself records how good it is, so that a resumed run does not need to know.

    Args:
        file: The best weights.
        metric: Its name.
        lower_is_better: Whether small values are the good ones.
        num_sets: How many validation sets there are.
    """

    def __init__(self, file: Path, *, metric: str, lower_is_better: bool, num_sets: int) -> None:
        self.file, self.metric = file, metric
        self.sign = -1 if lower_is_better else 1
        self.num_sets = num_sets
        self.step = -1
        self.values: dict[str, float] = {}  # of this step, by set

    @classmethod
    def of(cls, opt: Mapping[str, Any]) -> "BestWeights | None":
        """By ``logger.keep_best`` of BasicSR's options; None if it is not set."""
        metric = opt["logger"]["keep_best"]
        if not metric:
            return None
        return cls(
            Path(opt["path"]["models"]) / "net_g_best.pth",
            metric=metric,
            lower_is_better=opt["val"]["metrics"][metric].get("better") == "lower",
            num_sets=sum(name.startswith("val") for name in opt["datasets"]),
        )

    def improved(self, set_name: str, step: int, value: float) -> float | None:
        """The mean over all sets if this one is the step's last and the mean is the best so far, else None."""
        if step != self.step:
            self.step, self.values = step, {}
        self.values[set_name] = value
        if len(self.values) < self.num_sets:
            return None
        average = mean(self.values.values())
        best = read_checkpoint(self.file).get("best", {}) if self.file.is_file() else {}
        worse = best.get("metric") == self.metric and not self.sign * average > self.sign * best["value"]
        return None if worse or not math.isfinite(average) else average
