"""Results grouped into systems: a network with its weights, on one kind of LR images."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from clit_plugin.data.realistic_options import RealisticOptions
from clit_plugin.evaluation.report.paper import PaperRow, PaperTable
from clit_plugin.evaluation.results import SetResult


@dataclass
class System:
    """Results that belong in one row.

    Attributes:
        name: The run's name; with weights or LR where one name has several.
        network: Type of the network, and of its encoder.
        branches: How many the network has.
        results: By (family, scale), for results whose axes share one scale.
    """

    name: str
    network: tuple[str, str | None]
    branches: int
    results: dict[tuple[str, float], SetResult] = field(default_factory=dict)

    def is_method(self, row: PaperRow) -> bool:
        """Whether a row of the paper is about this system. CLIT with one branch is LIT, which the tables lack."""
        return row.network == self.network and (self.network[0] != "CLIT" or self.branches > 1)


def psnr_key(result: SetResult) -> str | None:
    """Name of the metric that is PSNR on floats, with no arguments beside the protocol's."""
    for name, options in result.metric_options.items():
        if options.get("type") == "psnr_float" and not options.keys() - {"type", "better"}:
            return name
    return None


def psnr_of(result: SetResult) -> float | None:
    """PSNR in dB by the protocol, or None."""
    key = psnr_key(result)
    return None if key is None else result.metrics[key]


def psnr_by_image(result: SetResult) -> dict[str, float]:
    """PSNR in dB of every image, from the lowest to the highest. The result has a ``psnr_key``."""
    key = str(psnr_key(result))
    return {image.name: image.metrics[key] for image in sorted(result.images, key=lambda i: (i.metrics[key], i.name))}


def find_systems(results: Iterable[SetResult]) -> list[System]:
    """Systems in the order of their names; of several results for the same set and scale the newest is used."""
    grouped: dict[tuple[str, str, str], list[SetResult]] = {}
    for result in sorted(results, key=lambda one: one.finished):
        weights = result.weights.sha256 if result.weights else ""
        # LR files belong in Pillow's rows: the paper's tables are about them.
        lr = "" if result.degradation in ("pil", "files") else lr_label(result.degradation)
        grouped.setdefault((result.name, weights, lr), []).append(result)
    names = [name for name, _, _ in grouped]
    lrs = {name: {lr for other, _, lr in grouped if other == name} for name in names}
    hashes = {name: {weights for other, weights, _ in grouped if other == name} for name in names}
    systems = []
    for (name, weights, lr), own in sorted(grouped.items(), key=lambda item: item[0]):
        label = f"{name} [{weights[:8]}]" if len(hashes[name]) > 1 else name
        label += f" (LR: {lr})" if lr and len(lrs[name]) > 1 else ""
        newest = own[-1]
        branches = int(newest.network.get("num_branches", 1))
        by_place = {
            (result.family, result.scale[0]): result
            for result in own
            if result.scale and result.scale[0] == result.scale[1] and psnr_of(result) is not None
        }
        systems.append(System(label, (newest.network["type"], newest.encoder), branches, by_place))
    return systems


def deviation(result: SetResult, table: PaperTable, column: tuple[str, float]) -> str | None:
    """Why a result must not be compared with the paper's figure, or None."""
    count = len(result.images)
    if count != table.images[column[0]]:
        return f"on {count} of {table.images[column[0]]} images"
    expected = table.lr[column]
    if result.degradation != expected:
        kinds = {"files": "LR files", "Pillow": "Pillow's bicubic", "MATLAB": "MATLAB's bicubic"}
        made, paper = (lr_label(one) for one in (result.degradation, expected))
        return f"LR by {kinds.get(made, made)}, the paper's by {kinds[paper]}"
    return None


def lr_label(degradation: str | Mapping[str, Any]) -> str:
    """How LR was made: ``Pillow``, ``MATLAB``, ``files``, or ``realistic`` with what differs from the defaults."""
    if isinstance(degradation, str):
        return {"pil": "Pillow", "matlab": "MATLAB"}.get(degradation, degradation)
    plain = vars(RealisticOptions(type="realistic"))
    changed = [f"{key} {value}" for key, value in degradation.items() if plain.get(key) != value]
    return " ".join([str(degradation.get("type")), *([f"({', '.join(changed)})"] if changed else [])])
