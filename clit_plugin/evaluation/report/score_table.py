"""Scores of one test, of one system or several, as text for a terminal."""

from collections.abc import Mapping, Sequence
from typing import Any

from clit_plugin.evaluation.report.systems import lr_label
from clit_plugin.evaluation.report.tables import decimals
from clit_plugin.ops.sizes import scale_label

_Result = Mapping[str, Any]


def score_table(runs: Sequence[Sequence[_Result]]) -> str:
    """A row a set and scale, a column a metric and run; below it what was scored of which file.

    Args:
        runs: Stored results, those of one run together.
    """
    runs = [run for run in runs if run]
    metrics = list(dict.fromkeys(name for run in runs for result in run for name in result["metrics"]))
    found = {(_place(result), result["name"]): result for run in runs for result in run}
    names = [run[0]["name"] for run in runs]
    columns = [(metric, name) for metric in metrics for name in names]
    heads = ["set", "scale", "LR", "protocol", "images"]
    lines = [[*heads, *(f"{metric} {name}" if len(names) > 1 else metric for metric, name in columns)]]
    for place in dict.fromkeys(place for place, _ in found):
        cells = [(found.get((place, name)), metric) for metric, name in columns]
        lines.append([*place, *(decimals(metric, result) if result else "-" for result, metric in cells)])
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    texts = ["  ".join(_aligned(line, widths)).rstrip() for line in lines]
    return "\n".join(["", *texts, "", *(_weights_line(run[0]) for run in runs)])


def _place(result: _Result) -> tuple[str, ...]:
    scale = f"x{scale_label(result['scale'])}" if result["scale"] else "files'"
    protocol = f"{result['protocol']['name']} ({result['protocol'].get('channel', '')})"
    lr = lr_label(result["degradation"])
    return result["family"], scale, lr, protocol, str(len(result["images"]))


def _weights_line(result: _Result) -> str:
    weights = result.get("weights") or {}
    told = f"{weights['path']} [{weights['param_key']}]" if weights else "no weights"
    return f"{result['name']}: {told}"


def _aligned(cells: Sequence[str], widths: Sequence[int]) -> list[str]:
    text = 4  # so many columns are text, the others numbers
    return [
        cell.ljust(width) if i < text else cell.rjust(width)
        for i, (cell, width) in enumerate(zip(cells, widths, strict=True))
    ]
