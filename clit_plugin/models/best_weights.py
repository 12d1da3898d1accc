"""The best weights of a run, by the mean of a metric over all validation sets."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from clit_plugin.archs.weights import read_checkpoint
from clit_plugin.evaluation.results import mean


class BestWeights:
    """Decides, after the last set of a validation, whether the current weights are the best so far.

    The best value is stored in the weights file, where a resumed run finds it.

    Args:
        file: Where the best weights are saved.
        metric: Name of the metric.
        lower_is_better: Whether lower values of the metric are better.
        num_sets: Number of validation sets.
    """

    def __init__(self, file: Path, *, metric: str, lower_is_better: bool, num_sets: int) -> None:
        self.file, self.metric = file, metric
        self.sign = -1 if lower_is_better else 1
        self.num_sets = num_sets
        self.step = -1
        self.values: dict[str, float] = {}  # of this step, by set

    @classmethod
    def of(cls, opt: Mapping[str, Any]) -> "BestWeights | None":
        """Build it from ``logger.keep_best``; None if that is not set."""
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
        """Add a set's value. Returns the mean over all sets if this set completes it and it is the best so far."""
        if step != self.step:
            self.step, self.values = step, {}
        self.values[set_name] = value
        if len(self.values) < self.num_sets:
            return None
        average = mean(self.values.values())
        best = read_checkpoint(self.file).get("best", {}) if self.file.is_file() else {}
        worse = best.get("metric") == self.metric and not self.sign * average > self.sign * best["value"]
        return None if worse or not math.isfinite(average) else average
