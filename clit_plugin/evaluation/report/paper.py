"""The paper's tables, from ``paper_figures.yml``."""

from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from typing import Any

import yaml


@dataclass(frozen=True, kw_only=True)
class PaperRow:
    """A method of a table.

    Attributes:
        method: Its name in the paper.
        network: Type and encoder of the ``network_g`` that is this method; None if this package does not have it.
        psnr: In dB by (family, scale), for the columns that the paper gives.
    """

    method: str
    network: tuple[str, str | None] | None
    psnr: dict[tuple[str, float], float]


@dataclass(frozen=True, kw_only=True)
class PaperTable:
    """A table of the paper.

    Attributes:
        name: ``Table 1``.
        caption: The paper's.
        protocol: The protocol of its figures.
        images: How many images each family has.
        columns: (family, scale), in order.
        lr: How LR is made for each column: ``files`` or ``pil``.
        notes: Remarks on its figures.
        rows: In order.
    """

    name: str
    caption: str
    protocol: str
    images: dict[str, int]
    columns: list[tuple[str, float]]
    lr: dict[tuple[str, float], str]
    notes: list[str]
    rows: list[PaperRow]


@lru_cache(maxsize=1)
def load_paper() -> tuple[str, list[PaperTable]]:
    """The source, and its tables."""
    text = resources.files("clit_plugin.evaluation.report").joinpath("paper_figures.yml").read_text(encoding="utf-8")
    content = yaml.safe_load(text)
    return content["source"], [_table(table) for table in content["tables"]]


def _table(given: dict[str, Any]) -> PaperTable:
    columns = [(family, float(scale)) for family, scales in given["scales"].items() for scale in scales]
    lr = [kind for family in given["scales"] for kind in given["lr"][family]]
    rows = []
    for row in given["rows"]:
        network = row.get("network")
        psnr = {
            (family, float(scale)): float(value)
            for family, values in row["psnr"].items()
            for scale, value in zip(given["scales"][family], values, strict=True)
            if value is not None
        }
        rows.append(
            PaperRow(method=row["method"], network=network and (network["type"], network.get("encoder")), psnr=psnr)
        )
    return PaperTable(
        **{key: given[key] for key in ("name", "caption", "protocol", "images", "notes")},
        columns=columns,
        lr=dict(zip(columns, lr, strict=True)),
        rows=rows,
    )
