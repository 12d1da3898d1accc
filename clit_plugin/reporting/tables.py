"""The tables of a report."""

import heapq
from collections.abc import Sequence

from clit_plugin.reporting.document import Cell, Row, Table
from clit_plugin.reporting.paper import PaperTable
from clit_plugin.reporting.systems import Result, System, deviation, lr_label, psnr_key, psnr_of
from clit_plugin.sizes import scale_label
from clit_plugin.stored_results import degradation_text

MARKS = "*†‡§¶#"
_ENCODERS = ("EDSR-baseline", "RDN", "SwinIR")


def paper_table(table: PaperTable, systems: Sequence[System]) -> Table | None:
    """A table laid out as the paper's, with our rows below those they belong to; nothing if there are none."""
    ours = [system for system in systems if _results_in(system, table)]
    if not ours:
        return None
    reasons: dict[str, str] = {}
    groups: list[list[tuple[str, str, dict[tuple[str, float], float], list[Cell]]]] = []
    placed: set[int] = set()
    for row in table.rows:
        prefix = next((name for name in _ENCODERS if row.method.startswith(name)), "")
        if not groups or groups[-1][0][0] != prefix:
            groups.append([])
        cells = [_number(row.psnr.get(column)) for column in table.columns]
        groups[-1].append((prefix, "paper", row.psnr, [Cell(row.method), *cells]))
        for i, system in enumerate(ours):
            if system.is_method(row):
                placed.add(i)
                groups[-1].append((prefix, "ours", *_our_row(system, table, row.psnr, reasons)))
    rest = [("rest", "ours", *_our_row(s, table, {}, reasons)) for i, s in enumerate(ours) if i not in placed]
    if rest:
        groups.append(rest)
    rows = [row for group in groups for row in _ranked(group, table.columns, ranks=group is not rest)]
    notes = [f"{mark} {reason}; no difference is given." for reason, mark in reasons.items()]
    families = list(dict.fromkeys(family for family, _ in table.columns))
    return Table(
        caption=f"{table.name}. {table.caption}. Rows of ours were measured here, with the difference to the paper.",
        columns=["Method", *(f"×{scale:g}" for _, scale in table.columns)],
        groups=[("", 1), *((family, sum(f == family for f, _ in table.columns)) for family in families)],
        rows=rows,
        notes=[*notes, *table.notes],
    )


def _results_in(system: System, table: PaperTable) -> dict[tuple[str, float], Result]:
    return {
        column: system.results[column]
        for column in table.columns
        if column in system.results and system.results[column]["protocol"]["name"] == table.protocol
    }


def _our_row(
    system: System, table: PaperTable, paper: dict[tuple[str, float], float], reasons: dict[str, str]
) -> tuple[dict[tuple[str, float], float], list[Cell]]:
    """Values that may be ranked, and cells."""
    comparable, cells = {}, [Cell(f"ours: {system.name}")]
    results = _results_in(system, table)
    for column in table.columns:
        value = psnr_of(results[column]) if column in results else None
        if value is None:
            cells.append(Cell("-"))
            continue
        reason = deviation(results[column], table, column)
        if reason is None:
            comparable[column] = value
            # Of what is printed, so that a reader's subtraction agrees.
            addition = f"{round(value, 2) - paper[column]:+.2f}" if column in paper else ""
            cells.append(Cell(f"{value:.2f}", addition))
        else:
            mark = reasons.setdefault(reason, MARKS[len(reasons) % len(MARKS)] * (1 + len(reasons) // len(MARKS)))
            cells.append(Cell(f"{value:.2f}{mark}"))
    return comparable, cells


def _ranked(
    group: Sequence[tuple[str, str, dict[tuple[str, float], float], list[Cell]]],
    columns: Sequence[tuple[str, float]],
    ranks: bool,
) -> list[Row]:
    """Rows of one encoder, with the best and the second of each column marked as in the paper."""
    rows = []
    best = {
        column: heapq.nlargest(2, {round(v[column], 2) for _, _, v, _ in group if column in v}) for column in columns
    }
    for i, (_, kind, values, cells) in enumerate(group):
        marked = [cells[0]]
        for column, cell in zip(columns, cells[1:], strict=True):
            top = best[column]
            value = round(values[column], 2) if column in values else None
            rank = top.index(value) + 1 if ranks and len(group) > 2 and value in top else 0
            marked.append(Cell(cell.text, cell.addition, rank))
        rows.append(Row(marked, kind, starts_group=i == 0))
    return rows


def results_table(results: Sequence[Result]) -> Table:
    """Every result with what its number depends on."""
    metrics = list(dict.fromkeys(name for result in results for name in result["metrics"]))
    rows = []
    for result in results:
        shaves = list(dict.fromkeys(str(image["shave"]) for image in result["images"]))
        texts = [result["name"], result["family"], f"×{scale_label(result['scale'])}" if result["scale"] else "files'"]
        texts += [lr_label(result["degradation"])]
        texts += [result["protocol"]["name"], str(result["protocol"].get("channel", "")), result["fingerprint"]]
        numbers = [str(len(result["images"])), shaves[0] if len(shaves) == 1 else f"{shaves[0]}, ..."]
        numbers += [decimals(name, result) for name in metrics]
        rows.append(Row([Cell(text) for text in [*texts, *numbers]]))
    columns = ["Run", "Set", "Scale", "LR", "Protocol", "Channel", "Result", "Images", "Shave", *metrics]
    return Table(caption="", columns=columns, rows=rows, text_columns=7)


def extremes_table(systems: Sequence[System], *, count: int = 3) -> Table:
    """The images with the lowest and the highest PSNR of every set; beside them their gain over bicubic."""
    baselines = {
        (result["family"], degradation_text(result["degradation"]), scale, result["data_sha256"]): result
        for system in systems
        if system.network[0] == "Bicubic"
        for (_, scale), result in system.results.items()
    }
    rows = []
    for system in systems:
        for i, ((family, scale), result) in enumerate(sorted(system.results.items())):
            key = str(psnr_key(result))
            place = (family, degradation_text(result["degradation"]), scale, result["data_sha256"])
            base = baselines.get(place) if system.network[0] != "Bicubic" else None
            gains = _gains(result, base)
            ordered = sorted(result["images"], key=lambda image: (image["metrics"][key], image["image"]))
            worst, best = ordered[:count], ordered[::-1][:count]
            told = [
                ", ".join(f"{one['image']} {one['metrics'][key]:.2f}{gains.get(one['image'], '')}" for one in some)
                for some in (worst, best)
            ]
            cells = [Cell(text) for text in (system.name, f"{family} ×{scale:g}", *told)]
            rows.append(Row(cells, starts_group=i == 0))
    notes = (
        ["In parentheses: gain over bicubic on the same image."] if any("(" in r.cells[2].text for r in rows) else []
    )
    return Table(
        caption="The three images with the lowest and with the highest PSNR (dB) of each set",
        columns=["Run", "Set", "Worst", "Best"],
        rows=rows,
        notes=notes,
        text_columns=4,
    )


def provenance_table(results: Sequence[Result]) -> Table:
    """Weights, network, versions and device of every run."""
    rows: dict[tuple[str, ...], None] = {}
    for result in results:
        weights = result.get("weights") or {}
        network = result["options"]["network_g"]
        encoder = (network.get("encoder") or {}).get("type")
        told = (
            f"{network['type']}({encoder}, {network.get('num_branches', 1)} branches)" if encoder else network["type"]
        )
        versions = ", ".join(f"{name} {version}" for name, version in result.get("versions", {}).items())
        digest = weights.get("sha256", "-")
        rows[result["name"], told, weights.get("path", "none"), digest, versions, result.get("device", "")] = None
    columns = ["Run", "Network", "Weights", "SHA-256", "Versions", "Device"]
    cells = [Row([Cell(text) for text in row]) for row in rows]
    return Table(caption="", columns=columns, rows=cells, text_columns=6)


def _gains(result: Result, base: Result | None) -> dict[str, str]:
    if base is None:
        return {}
    own, other = str(psnr_key(result)), str(psnr_key(base))
    before = {image["image"]: image["metrics"][other] for image in base["images"]}
    pairs = [(image["image"], image["metrics"][own]) for image in result["images"] if image["image"] in before]
    return {name: f" ({value - before[name]:+.2f})" for name, value in pairs}


def _number(value: float | None) -> Cell:
    return Cell("-" if value is None else f"{value:.2f}")


def decimals(name: str, result: Result) -> str:
    """A result's metric as it is printed: PSNR with three decimals, others with four."""
    if name not in result["metrics"]:
        return "-"
    kind = result["options"]["metrics"].get(name, {}).get("type", "")
    return f"{result['metrics'][name]:.{3 if 'psnr' in kind else 4}f}"
