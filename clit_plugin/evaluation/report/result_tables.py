"""The tables of a report that list what was measured, and with what."""

from collections.abc import Sequence

from clit_plugin.evaluation.report.document import Cell, Row, Table
from clit_plugin.evaluation.report.systems import lr_label
from clit_plugin.evaluation.results import SetResult
from clit_plugin.ops.sizes import scale_label

_NOTE = (
    "Weights: params_ema are the averaged ones. Multiply-adds: of the plain equations for an output of 1280x720 "
    "pixels, matrix products and convolutions only; the fast paths need fewer. s / image: on the device listed below, "
    "without reading and scoring."
)


def results_table(results: Sequence[SetResult]) -> Table:
    """Every result with what its numbers depend on."""
    metrics = list(dict.fromkeys(name for result in results for name in result.metrics))
    rows = []
    for result in results:
        texts = [result.name, result.weights.param_key if result.weights else "none", result.family]
        texts += [f"×{scale_label(result.scale)}" if result.scale else "files'", lr_label(result.degradation)]
        texts += [result.protocol.name, result.protocol.channel, result.fingerprint]
        shaves = list(dict.fromkeys(str(image.shave) for image in result.images))
        numbers = [str(len(result.images)), shaves[0] if len(shaves) == 1 else f"{shaves[0]}, ..."]
        numbers += [_parameters(result.parameters), _multiply_adds(result.multiply_adds)]
        numbers += [_seconds(result.seconds_per_image), *(decimals(name, result) for name in metrics)]
        rows.append(Row([Cell(text) for text in [*texts, *numbers]]))
    columns = ["Run", "Weights", "Set", "Scale", "LR", "Protocol", "Channel", "Result", "Images", "Shave"]
    columns += ["Parameters", "Multiply-adds", "s / image", *metrics]
    return Table(caption="", columns=columns, rows=rows, text_columns=8, notes=[_NOTE])


def provenance_table(results: Sequence[SetResult]) -> Table:
    """Weights, network, versions and device of every run."""
    rows: dict[tuple[str, ...], None] = {}
    for result in results:
        network, weights = result.network["type"], result.weights
        if result.encoder:
            network += f"({result.encoder}, {result.network.get('num_branches', 1)} branches)"
        versions = ", ".join(f"{name} {version}" for name, version in result.versions.items())
        path, digest = (weights.path, weights.sha256) if weights else ("none", "-")
        rows[result.name, network, path, digest, versions, result.device] = None
    columns = ["Run", "Network", "Weights", "SHA-256", "Versions", "Device"]
    return Table(caption="", columns=columns, rows=[Row([Cell(text) for text in row]) for row in rows], text_columns=6)


def decimals(name: str, result: SetResult) -> str:
    """A result's metric as it is printed: PSNR with three decimals, others with four."""
    if name not in result.metrics:
        return "-"
    kind = result.metric_options.get(name, {}).get("type", "")
    return f"{result.metrics[name]:.{3 if 'psnr' in kind else 4}f}"


def _parameters(count: int | None) -> str:
    return "-" if count is None else f"{count / 1e6:.2f} M" if count >= 1e5 else str(count)


def _multiply_adds(count: float | None) -> str:
    return "-" if count is None else f"{count / 1e12:.2f} T" if count >= 1e12 else f"{count / 1e9:.2f} G"


def _seconds(seconds: float | None) -> str:
    return "-" if seconds is None else f"{seconds:.3g}"
