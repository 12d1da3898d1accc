"""The parts of a report, independent of the format it is written in."""

from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Cell:
    """A cell: its text, a small addition below it, and its rank in the column (1 best, 2 second best, 0 neither)."""

    text: str
    addition: str = ""
    rank: int = 0


@dataclass(frozen=True)
class Row:
    """A row; ``kind`` is ``paper``, ``ours`` or plain, and ``starts_group`` draws a line above it."""

    cells: Sequence[Cell]
    kind: str = ""
    starts_group: bool = False


@dataclass(frozen=True)
class Heading:
    """A section heading."""

    text: str


@dataclass(frozen=True)
class Paragraph:
    """Plain text."""

    text: str


@dataclass(frozen=True)
class Table:
    """A table: ``groups`` of columns (heading, number of columns), column names, rows, notes below it."""

    caption: str
    columns: Sequence[str]
    rows: Sequence[Row]
    groups: Sequence[tuple[str, int]] = ()
    notes: Sequence[str] = ()
    text_columns: int = 1  # how many columns at the left are text; the others are numbers
    legend: str = ""  # the rows among which a column is ranked


@dataclass(frozen=True)
class Figure:
    """A plot as SVG, with its file name and what it shows."""

    name: str
    svg: str
    caption: str


@dataclass(frozen=True)
class Picture:
    """The content of a PNG file, with its file name and what it shows."""

    name: str
    png: bytes
    caption: str


@dataclass(frozen=True)
class Document:
    """A report."""

    title: str
    blocks: list[Heading | Paragraph | Table | Figure | Picture] = field(default_factory=list)
