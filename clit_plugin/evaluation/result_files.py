"""Results as JSON: the one place that reads and writes them."""

import json
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, TypeVar

from clit_plugin.evaluation.results import EvaluationSettings, ImageScore, SetResult, WeightsFile
from clit_plugin.metrics.protocol import EvaluationProtocol
from clit_plugin.utils.atomic_files import write_text
from clit_plugin.utils.errors import UserError

_FORMAT = 1
# Exceptions that malformed content causes below.
MALFORMED = (ValueError, KeyError, TypeError, AttributeError, RecursionError)
N = TypeVar("N", int, float)


def read_result(file: Path) -> SetResult:
    """One finished result, with the crops that are stored beside it.

    Raises:
        UserError: A missing file, or not a result.
    """
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        if content["format"] != _FORMAT:
            raise UserError(f"{file}: has format {content['format']}, but this version reads {_FORMAT}")
        result = _result_from_json(content)
    except OSError as error:
        raise UserError(f"{file}: cannot be read ({error.strerror})") from error
    except MALFORMED as error:
        raise UserError(f"{file}: not a result of 'clit test', or damaged ({type(error).__name__}: {error})") from error
    folder = file.parent.parent / "crops" / file.stem
    crops = {image.name: crop for image in result.images if (crop := crop_file(folder, image.name)).is_file()}
    return replace(result, crops=crops)


def write_result(file: Path, result: SetResult) -> None:
    """Write a finished result.

    Raises:
        UserError: The file cannot be written.
    """
    content = {**settings_to_json(result), "metrics": dict(result.metrics), "finished": result.finished}
    content["images"] = [image_to_json(image) for image in result.images]
    write_text(file, json_text(content, indent=1) + "\n", shared=True)


def crop_file(folder: Path, image: str) -> Path:
    """Where the picture of a set's image is stored."""
    return folder / f"{image.replace('/', '_')}.png"


def image_to_json(image: ImageScore) -> dict[str, Any]:
    """The stored form of an image's scores."""
    content: dict[str, Any] = {
        "image": image.name,
        "lq_size": image.lq_size,
        "gt_size": image.gt_size,
        "scale": image.scale,
    }
    content |= {"shave": image.shave, "metrics": dict(image.metrics)}
    return content if image.seconds is None else {**content, "seconds": image.seconds}


def image_from_json(content: Mapping[str, Any]) -> ImageScore:
    """An image's scores from the stored form. Raises one of ``MALFORMED`` for anything else."""
    seconds = content.get("seconds")
    return ImageScore(
        name=_text(content, "image"),
        lq_size=_pair(content["lq_size"], int),
        gt_size=_pair(content["gt_size"], int),
        scale=_pair(content["scale"], float),
        shave=int(content["shave"]),
        metrics=_metrics(content),
        seconds=None if seconds is None else float(seconds),
    )


def settings_to_json(settings: EvaluationSettings) -> dict[str, Any]:
    """The stored form of settings: plain values only, which YAML takes as well."""
    protocol = settings.protocol
    return {
        "format": _FORMAT,
        "fingerprint": settings.fingerprint,
        "name": settings.name,
        "set": settings.set,
        "family": settings.family,
        "scale": None if settings.scale is None else list(settings.scale),
        "degradation": settings.degradation,
        "protocol": {"name": protocol.name, "channel": protocol.channel, "extra_shave": protocol.extra_shave},
        "data_sha256": settings.data_sha256,
        "metrics": list(settings.metric_options),
        "weights": None if settings.weights is None else asdict(settings.weights),
        "options": dict(settings.options),
        "versions": dict(settings.versions),
        "parameters": settings.parameters,
        "multiply_adds": settings.multiply_adds,
        "device": settings.device,
    }


def settings_from_json(content: Mapping[str, Any]) -> EvaluationSettings:
    """Settings from the stored form. Raises one of ``MALFORMED`` for anything else."""
    return EvaluationSettings(**_settings(content))


def json_text(value: Any, indent: int | None = None) -> str:
    """Strict JSON: numbers that are not finite become strings."""
    return json.dumps(_finite(value), indent=indent, allow_nan=False, ensure_ascii=False)


def _result_from_json(content: Mapping[str, Any]) -> SetResult:
    images = [image_from_json(image) for image in content["images"]]
    if not images:
        raise ValueError("no images")
    settings, metrics = _settings(content), _metrics(content)
    for scored in (metrics, *(image.metrics for image in images)):
        if missing := settings["options"]["metrics"].keys() - scored.keys():
            raise KeyError(f"metrics.{min(missing)}")
    return SetResult(**settings, metrics=metrics, finished=_text(content, "finished"), images=images)


def _settings(content: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of ``EvaluationSettings``."""
    options, protocol, weights = content["options"], content["protocol"], content.get("weights")
    network = options["network_g"]
    if not isinstance(network["type"], str) or not isinstance(network.get("encoder") or {}, Mapping):
        raise TypeError("network_g")
    if not isinstance(options["metrics"], Mapping):
        raise TypeError("metrics")
    if not isinstance(content["degradation"], (str, Mapping)):
        raise TypeError("degradation")
    return {
        **{key: _text(content, key) for key in ("fingerprint", "name", "set", "family", "data_sha256")},
        "scale": _pair(content["scale"], float) if content["scale"] else None,
        "degradation": content["degradation"],
        "protocol": EvaluationProtocol(
            name=_text(protocol, "name"), y_channel=protocol["channel"] == "Y", extra_shave=protocol["extra_shave"]
        ),
        "weights": WeightsFile(**weights) if weights else None,
        "options": options,
        # Results stored by earlier versions lack some of these.
        "versions": content.get("versions", {}),
        "parameters": content.get("parameters"),
        "multiply_adds": content.get("multiply_adds"),
        "device": content.get("device", ""),
    }


def _metrics(content: Mapping[str, Any]) -> dict[str, float]:
    return {str(name): float(value) for name, value in content["metrics"].items()}


def _text(content: Mapping[str, Any], key: str) -> str:
    if not isinstance(content[key], str):
        raise TypeError(key)
    return content[key]


def _pair(values: Iterable[Any], kind: Callable[[Any], N]) -> tuple[N, N]:
    first, second = map(kind, values)
    return first, second


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value
