"""Scores of one test, of one system or several, as text for a terminal."""

from collections.abc import Sequence

from clit_plugin.evaluation.report.result_tables import decimals
from clit_plugin.evaluation.report.systems import lr_label
from clit_plugin.evaluation.results import SetResult
from clit_plugin.ops.sizes import scale_label

_HEADINGS = ("set", "scale", "LR", "protocol", "images")
_TEXT_COLUMNS = 4  # the others are numbers, aligned on the right


def score_table(runs: Sequence[Sequence[SetResult]]) -> str:
    """One row per set and scale, one column per metric and run; below it the weights that were scored.

    Args:
        runs: The results of each run.
    """
    runs = [run for run in runs if run]
    metrics = list(dict.fromkeys(name for run in runs for result in run for name in result.metrics))
    found = {(_place(result), result.name): result for run in runs for result in run}
    names = [run[0].name for run in runs]
    columns = [(metric, name) for metric in metrics for name in names]
    lines = [[*_HEADINGS, *(f"{metric} {name}" if len(names) > 1 else metric for metric, name in columns)]]
    for place in dict.fromkeys(place for place, _ in found):
        cells = [(found.get((place, name)), metric) for metric, name in columns]
        lines.append([*place, *(decimals(metric, result) if result else "-" for result, metric in cells)])
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    texts = ["  ".join(_aligned(line, widths)).rstrip() for line in lines]
    return "\n".join(["", *texts, "", *(_weights_line(run[0]) for run in runs)])


def _place(result: SetResult) -> tuple[str, ...]:
    scale = f"x{scale_label(result.scale)}" if result.scale else "files'"
    protocol = f"{result.protocol.name} ({result.protocol.channel})"
    return result.family, scale, lr_label(result.degradation), protocol, str(len(result.images))


def _weights_line(result: SetResult) -> str:
    weights = result.weights
    return f"{result.name}: {f'{weights.path} [{weights.param_key}]' if weights else 'no weights'}"


def _aligned(cells: Sequence[str], widths: Sequence[int]) -> list[str]:
    return [
        cell.ljust(width) if i < _TEXT_COLUMNS else cell.rjust(width)
        for i, (cell, width) in enumerate(zip(cells, widths, strict=True))
    ]
