"""The tables of a report."""

import heapq
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from clit_plugin.evaluation.report.document import Cell, Picture, Row, Table
from clit_plugin.evaluation.report.paper import PaperTable
from clit_plugin.evaluation.report.systems import Result, System, deviation, lr_label, psnr_key, psnr_of
from clit_plugin.evaluation.results import degradation_text, seconds_per_image
from clit_plugin.ops.sizes import scale_label

MARKS = "*†‡§¶#"
_ENCODERS = ("EDSR-baseline", "RDN", "SwinIR")


def paper_table(table: PaperTable, systems: Sequence[System]) -> Table | None:
    """A table laid out as the paper's, with our rows below those they belong to; nothing if there are none."""
    ours = [system for system in systems if _results_in(system, table)]
    if not ours:
        return None
    measured = [column for column in table.columns if any(column in _results_in(system, table) for system in ours)]
    table = replace(table, columns=measured)
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
    if rest and any(cell.text != "-" for _, _, _, cells in rest for cell in cells[1:]):
        notes.insert(0, "Systems of the last rows are none of the paper's; there is no figure to differ from.")
    families = list(dict.fromkeys(family for family, _ in table.columns))
    differs = any(cell.addition for row in rows for cell in row.cells)
    told = "; below a figure of ours its difference to the paper's" if differs else ""
    return Table(
        caption=f"{table.name}. {table.caption}. Rows of ours were measured here{told}. Columns without results of "
        "ours are left out.",
        legend="among the rows of one encoder" if any(cell.rank for row in rows for cell in row.cells) else "",
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
        texts.insert(1, (result.get("weights") or {}).get("param_key", "none"))
        numbers = [str(len(result["images"])), shaves[0] if len(shaves) == 1 else f"{shaves[0]}, ..."]
        numbers += [_parameters(result), _multiply_adds(result), _seconds(result)]
        numbers += [decimals(name, result) for name in metrics]
        rows.append(Row([Cell(text) for text in [*texts, *numbers]]))
    columns = ["Run", "Weights", "Set", "Scale", "LR", "Protocol", "Channel", "Result", "Images", "Shave"]
    columns += ["Parameters", "Multiply-adds", "s / image", *metrics]
    notes = [
        "Weights: params_ema are the averaged ones. Multiply-adds: of the plain equations for an output of 1280x720 "
        "pixels, products and convolutions alone; what is run here needs fewer. s / image: on the device named below, "
        "without reading and scoring."
    ]
    return Table(caption="", columns=columns, rows=rows, text_columns=8, notes=notes)


def _parameters(result: Result) -> str:
    count = result.get("parameters")
    return "-" if count is None else f"{count / 1e6:.2f} M" if count >= 1e5 else str(count)


def _multiply_adds(result: Result) -> str:
    count = result.get("multiply_adds")
    return "-" if count is None else f"{count / 1e12:.2f} T" if count >= 1e12 else f"{count / 1e9:.2f} G"


def _seconds(result: Result) -> str:
    seconds = seconds_per_image(result)
    return "-" if seconds is None else f"{seconds:.3g}"


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


def extreme_pictures(systems: Sequence[System]) -> list[Picture]:
    """Crops of the worst and the best image of every set, where 'clit test' has kept them."""
    pictures = []
    for system in systems:
        for (family, scale), result in sorted(system.results.items()):
            key = str(psnr_key(result))
            ordered = sorted(result["images"], key=lambda image: (image["metrics"][key], image["image"]))
            extremes = [("worst", ordered[0]), ("best", ordered[-1])][: len(ordered)]
            for word, image in extremes:
                crop: Path | None = result["crops"].get(image["image"])
                if crop is not None:
                    caption = (
                        f"{system.name}, {family} ×{scale:g}, {word}: {image['image']}, {image['metrics'][key]:.2f} dB"
                    )
                    name = f"{word}_{system.name}_{family}_x{scale:g}_{result['fingerprint']}"
                    pictures.append(Picture(name, crop.read_bytes(), caption))
    return pictures


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
