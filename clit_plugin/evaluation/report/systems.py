"""Stored results as rows of tables: one system is a network with its weights, on one kind of LR images."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from clit_plugin.data.realistic_options import RealisticOptions
from clit_plugin.evaluation.report.paper import PaperRow, PaperTable

Result = Mapping[str, Any]


@dataclass
class System:
    """Results that belong into one row.

    Attributes:
        name: The run's name; with weights or LR where one name has several.
        network: Type of the network, and of its encoder.
        branches: How many the network has.
        results: By (family, scale), of results whose axes share one scale.
    """

    name: str
    network: tuple[str, str | None]
    branches: int
    results: dict[tuple[str, float], Result] = field(default_factory=dict)

    def is_method(self, row: PaperRow) -> bool:
        """Whether a row of the paper is about this system. CLIT with one branch is LIT, which the tables lack."""
        return row.network == self.network and (self.network[0] != "CLIT" or self.branches > 1)


def psnr_key(result: Result) -> str | None:
    """Name of the metric that is PSNR on floats, and by the protocol alone."""
    for name, options in result["options"]["metrics"].items():
        if options.get("type") == "psnr_float" and not options.keys() - {"type", "better"}:
            return name
    return None


def psnr_of(result: Result) -> float | None:
    """PSNR in dB by the protocol, or nothing."""
    key = psnr_key(result)
    return None if key is None else result["metrics"][key]


def scale_of(result: Result) -> float | None:
    """The scale, where both axes share one."""
    scale = result["scale"]
    return scale[0] if scale and scale[0] == scale[1] else None


def find_systems(results: Iterable[Result]) -> list[System]:
    """Systems in the order of their names; of several results for one place the newest counts."""
    grouped: dict[tuple[str, str, str], list[Result]] = {}
    for result in sorted(results, key=lambda one: one["finished"]):
        weights = (result.get("weights") or {}).get("sha256", "")
        # LR files belong to Pillow's rows: they are what the paper's tables are of.
        lr = "" if result["degradation"] in ("pil", "files") else lr_label(result["degradation"])
        kind = (result["name"], weights, lr)
        grouped.setdefault(kind, []).append(result)
    names = [name for name, _, _ in grouped]
    lrs = {name: {lr for other, _, lr in grouped if other == name} for name in names}
    hashes = {name: {weights for other, weights, _ in grouped if other == name} for name in names}
    systems = []
    for (name, weights, lr), own in sorted(grouped.items(), key=lambda item: item[0]):
        label = f"{name} [{weights[:8]}]" if len(hashes[name]) > 1 else name
        label += f" (LR: {lr})" if lr and len(lrs[name]) > 1 else ""
        network = own[-1]["options"]["network_g"]
        encoder = network.get("encoder") or {}
        system = System(label, (network["type"], encoder.get("type")), int(network.get("num_branches", 1)))
        for result in own:
            scale = scale_of(result)
            if scale is not None and psnr_of(result) is not None:
                system.results[result["family"], scale] = result
        systems.append(system)
    return systems


def deviation(result: Result, table: PaperTable, column: tuple[str, float]) -> str | None:
    """Why a result must not be compared with the paper's figure, or nothing."""
    count = len(result["images"])
    if count != table.images[column[0]]:
        return f"on {count} of {table.images[column[0]]} images"
    expected = table.lr[column]
    if result["degradation"] != expected:
        kinds = {"files": "LR files", "Pillow": "Pillow's bicubic", "MATLAB": "MATLAB's bicubic"}
        made, paper = (lr_label(one) for one in (result["degradation"], expected))
        return f"LR by {kinds.get(made, made)}, the paper's by {kinds[paper]}"
    return None


def lr_label(degradation: str | Mapping[str, Any]) -> str:
    """How LR was made: ``Pillow``, ``MATLAB``, ``files``, or ``realistic`` with what differs from the defaults."""
    if isinstance(degradation, str):
        return {"pil": "Pillow", "matlab": "MATLAB"}.get(degradation, degradation)
    plain = vars(RealisticOptions(type="realistic"))
    changed = [f"{key} {value}" for key, value in degradation.items() if plain.get(key) != value]
    return " ".join([str(degradation.get("type")), *([f"({', '.join(changed)})"] if changed else [])])
