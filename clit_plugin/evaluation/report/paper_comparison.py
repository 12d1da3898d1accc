"""The paper's tables with our systems in them."""

import heapq
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from clit_plugin.evaluation.report.document import Cell, Row, Table
from clit_plugin.evaluation.report.paper import PaperTable
from clit_plugin.evaluation.report.systems import System, deviation, psnr_of
from clit_plugin.evaluation.results import SetResult

_MARKS = "*†‡§¶#"
_ENCODERS = ("EDSR-baseline", "RDN", "SwinIR")
_Column = tuple[str, float]  # family, scale


@dataclass(frozen=True)
class _Line:
    """A row before its ranks: its kind as in ``Row``, the values that may be ranked, and its cells."""

    kind: str
    values: Mapping[_Column, float]
    cells: Sequence[Cell]


def paper_table(table: PaperTable, systems: Sequence[System]) -> Table | None:
    """A table in the paper's layout, with our rows below the corresponding ones; None if we have no results for it."""
    ours = [system for system in systems if _results_in(system, table)]
    if not ours:
        return None
    measured = [column for column in table.columns if any(column in _results_in(system, table) for system in ours)]
    table = replace(table, columns=measured)
    reasons: dict[str, str] = {}
    groups: list[list[_Line]] = []
    encoder = None
    for row in table.rows:
        prefix = next((name for name in _ENCODERS if row.method.startswith(name)), "")
        if not groups or prefix != encoder:
            groups.append([])
            encoder = prefix
        cells = [_number(row.psnr.get(column)) for column in table.columns]
        groups[-1].append(_Line("paper", row.psnr, [Cell(row.method), *cells]))
        groups[-1] += [_our_line(s, table, row.psnr, reasons) for s in ours if s.is_method(row)]
    rest = [
        _our_line(system, table, {}, reasons) for system in ours if not any(system.is_method(row) for row in table.rows)
    ]
    rows = [row for group in groups for row in _ranked(group, table.columns)]
    rows += [Row(line.cells, line.kind, starts_group=i == 0) for i, line in enumerate(rest)]
    notes = [f"{mark} {reason}; no difference is given." for reason, mark in reasons.items()]
    if any(cell.text != "-" for line in rest for cell in line.cells[1:]):
        notes.insert(0, "The systems in the last rows are not in the paper; there is no figure to compare with.")
    families = list(dict.fromkeys(family for family, _ in table.columns))
    differs = any(cell.addition for row in rows for cell in row.cells)
    differences = "; below each of our figures is its difference from the paper's" if differs else ""
    return Table(
        caption=f"{table.name}. {table.caption}. Our rows were measured here{differences}. Columns without results of "
        "ours are omitted.",
        legend="among the rows of one encoder" if any(cell.rank for row in rows for cell in row.cells) else "",
        columns=["Method", *(f"×{scale:g}" for _, scale in table.columns)],
        groups=[("", 1), *((family, sum(f == family for f, _ in table.columns)) for family in families)],
        rows=rows,
        notes=[*notes, *table.notes],
    )


def _results_in(system: System, table: PaperTable) -> dict[_Column, SetResult]:
    return {
        column: system.results[column]
        for column in table.columns
        if column in system.results and system.results[column].protocol.name == table.protocol
    }


def _our_line(system: System, table: PaperTable, paper: Mapping[_Column, float], reasons: dict[str, str]) -> _Line:
    """A row of ours; why a figure is not comparable is added to ``reasons``, with the mark that refers to it."""
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
            # From the rounded value, so that a reader's subtraction agrees.
            addition = f"{round(value, 2) - paper[column]:+.2f}" if column in paper else ""
            cells.append(Cell(f"{value:.2f}", addition))
        else:
            mark = reasons.setdefault(reason, _MARKS[len(reasons) % len(_MARKS)] * (1 + len(reasons) // len(_MARKS)))
            cells.append(Cell(f"{value:.2f}{mark}"))
    return _Line("ours", comparable, cells)


def _ranked(group: Sequence[_Line], columns: Sequence[_Column]) -> list[Row]:
    """The rows of one encoder, with the best and the second best of each column marked as in the paper."""
    best = {
        column: heapq.nlargest(2, {round(line.values[column], 2) for line in group if column in line.values})
        for column in columns
    }
    rows = []
    for i, line in enumerate(group):
        marked = [line.cells[0]]
        for column, cell in zip(columns, line.cells[1:], strict=True):
            value = round(line.values[column], 2) if column in line.values else None
            rank = best[column].index(value) + 1 if len(group) > 2 and value in best[column] else 0
            marked.append(Cell(cell.text, cell.addition, rank))
        rows.append(Row(marked, line.kind, starts_group=i == 0))
    return rows


def _number(value: float | None) -> Cell:
    return Cell("-" if value is None else f"{value:.2f}")
