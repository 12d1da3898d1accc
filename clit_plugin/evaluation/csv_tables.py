"""Results as CSV: one row per set, or one row per image; sizes are width x height."""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from clit_plugin.evaluation.result_files import json_text
from clit_plugin.evaluation.results import SetResult
from clit_plugin.ops.sizes import wxh

# Long cells, on the right.
_PROVENANCE = (
    "weights",
    "param_key",
    "weights_sha256",
    "data_sha256",
    "fingerprint",
    "finished",
    "options",
    "versions",
)


def set_table(results: Iterable[SetResult]) -> str:
    """CSV with one row per result."""
    return _csv([_set_row(result) for result in results])


def image_table(results: Iterable[SetResult]) -> str:
    """CSV with one row per image of every result."""
    return _csv([row for result in results for row in _image_rows(result)])


def degradation_text(degradation: str | Mapping[str, Any]) -> str:
    """How LR was made, on one line: a name as it is, a mapping with all its parameters as JSON."""
    return degradation if isinstance(degradation, str) else json_text(degradation)


def _shared_columns(result: SetResult) -> dict[str, Any]:
    scale = result.scale or ("", "")
    row: dict[str, Any] = {"name": result.name, "set": result.set, "family": result.family}
    row |= {"scale_y": scale[0], "scale_x": scale[1], "degradation": degradation_text(result.degradation)}
    return row | {"protocol": result.protocol.name, "channel": result.protocol.channel}


def _set_row(result: SetResult) -> dict[str, Any]:
    images, weights = result.images, result.weights
    row = _shared_columns(result) | {"images": len(images), "shave": _distinct(str(image.shave) for image in images)}
    row |= {"lq_sizes": _distinct(wxh(image.lq_size) for image in images)}
    row |= {"gt_sizes": _distinct(wxh(image.gt_size) for image in images)}
    row |= result.metrics
    row |= {"parameters": result.parameters, "multiply_adds_1280x720": result.multiply_adds}
    row |= {"seconds_per_image": result.seconds_per_image}
    row |= {"weights": weights and weights.path, "param_key": weights and weights.param_key}
    row |= {"weights_sha256": weights and weights.sha256, "data_sha256": result.data_sha256}
    row |= {"fingerprint": result.fingerprint, "finished": result.finished}
    return row | {"options": json_text(result.options), "versions": json_text(result.versions)}


def _image_rows(result: SetResult) -> Iterable[dict[str, Any]]:
    for image in result.images:
        row = _shared_columns(result) | {"image": image.name, "shave": image.shave}
        row |= {"scale_y": image.scale[0], "scale_x": image.scale[1]}
        row |= {"lq_size": wxh(image.lq_size), "gt_size": wxh(image.gt_size)}
        yield row | dict(image.metrics) | {"fingerprint": result.fingerprint}


def _distinct(values: Iterable[str]) -> str:
    """The one value, or all different ones."""
    return " ".join(dict.fromkeys(values))


def _csv(rows: Sequence[Mapping[str, Any]]) -> str:
    columns = list(dict.fromkeys(name for row in rows for name in row if name not in _PROVENANCE))
    columns += [name for name in _PROVENANCE if any(name in row for row in rows)]
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()
