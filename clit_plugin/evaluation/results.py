"""The types of a test's results: scores of images, and the result of a set."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from clit_plugin.metrics.protocol import EvaluationProtocol


@dataclass(frozen=True, kw_only=True)
class WeightsFile:
    """The weights that were scored.

    Attributes:
        path: The file, as the user gave it.
        sha256: Hash of its bytes.
        param_key: ``params`` or ``params_ema``.
    """

    path: str
    sha256: str
    param_key: str


@dataclass(frozen=True, kw_only=True)
class ImageScore:
    """The scores of one image.

    Attributes:
        name: The image's key in its data set.
        lq_size: (h, w) in pixels.
        gt_size: (H, W) in pixels.
        scale: (y, x).
        shave: Pixels cut from every border.
        metrics: Value by name.
        seconds: Time that the network took; None if it was not measured.
    """

    name: str
    lq_size: tuple[int, int]
    gt_size: tuple[int, int]
    scale: tuple[float, float]
    shave: int
    metrics: Mapping[str, float]
    seconds: float | None = None


@dataclass(frozen=True, kw_only=True)
class EvaluationSettings:
    """The settings of a result, known before the first image is scored.

    Attributes:
        fingerprint: Hash of everything that determines the numbers; part of the result's file name.
        name: Name of the run.
        set: The data set with its scale, as ``Set5_x2``; ``family`` is without it, as ``Set5``.
        scale: (y, x); None where every pair of files has its own.
        degradation: ``files``, ``pil``, ``matlab``, or the parameters of a realistic degradation.
        data_sha256: Hash of all images and their names.
        weights: None for a network without weights.
        options: ``network_g``, ``dataset``, ``metrics``, ``save_img`` and ``self_ensemble``.
        versions: Versions of the packages that compute the numbers.
        parameters: Number of parameters of the network; None in results stored before these were counted.
        multiply_adds: For an output of 1280x720; None if unknown.
        device: The device's name.
    """

    fingerprint: str
    name: str
    set: str
    family: str
    scale: tuple[float, float] | None
    degradation: str | Mapping[str, Any]
    protocol: EvaluationProtocol
    data_sha256: str
    weights: WeightsFile | None
    options: Mapping[str, Any]
    versions: Mapping[str, str]
    parameters: int | None = None
    multiply_adds: float | None = None
    device: str = ""

    @property
    def network(self) -> Mapping[str, Any]:
        """``network_g`` of the options."""
        return self.options["network_g"]

    @property
    def encoder(self) -> str | None:
        """The type of the network's encoder, if it has one."""
        return (self.network.get("encoder") or {}).get("type")

    @property
    def metric_options(self) -> Mapping[str, Mapping[str, Any]]:
        """``val.metrics`` of the options: type and arguments by name."""
        return self.options["metrics"]


@dataclass(frozen=True, kw_only=True)
class SetResult(EvaluationSettings):
    """One test set, scored.

    Attributes:
        metrics: Means over the images, by name.
        finished: When, in ISO 8601.
        images: At least one.
        crops: Picture files that are present, by image; they are not part of the stored form.
    """

    metrics: Mapping[str, float]
    finished: str
    images: Sequence[ImageScore]
    crops: Mapping[str, Path] = field(default_factory=dict)

    @classmethod
    def of(cls, settings: EvaluationSettings, images: Sequence[ImageScore], finished: str) -> "SetResult":
        """The result of all images of a set."""
        metrics = {name: mean(image.metrics[name] for image in images) for name in settings.metric_options}
        return cls(**vars(settings), metrics=metrics, finished=finished, images=images)

    @property
    def seconds_per_image(self) -> float | None:
        """The mean time that the network took; None if it was not measured for every image."""
        seconds = [image.seconds for image in self.images if image.seconds is not None]
        return round(mean(seconds), 4) if len(seconds) == len(self.images) else None


def mean(values: Iterable[float]) -> float:
    """The mean, the same in whatever order the values come."""
    numbers = [float(value) for value in values]
    return math.fsum(numbers) / len(numbers)
