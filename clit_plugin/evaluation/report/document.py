"""What a report consists of, whichever format it is written in."""

from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Cell:
    """A cell: its text, a small addition beside it, and its rank in the column (1 best, 2 second, 0 neither)."""

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
    """A heading of a section."""

    text: str


@dataclass(frozen=True)
class Paragraph:
    """Plain text."""

    text: str


@dataclass(frozen=True)
class Table:
    """A table: ``groups`` of columns (text, how many), column names, rows, notes below it."""

    caption: str
    columns: Sequence[str]
    rows: Sequence[Row]
    groups: Sequence[tuple[str, int]] = ()
    notes: Sequence[str] = ()
    text_columns: int = 1  # so many of the first columns are text, the others numbers
    legend: str = ""  # of what ranks mark: columns are compared within this


@dataclass(frozen=True)
class Figure:
    """A drawing as SVG, with its name as a file and what it shows."""

    name: str
    svg: str
    caption: str


@dataclass(frozen=True)
class Picture:
    """A PNG file's content, with its name as a file and what it shows."""

    name: str
    png: bytes
    caption: str


@dataclass(frozen=True)
class Document:
    """A report."""

    title: str
    blocks: list[Heading | Paragraph | Table | Figure | Picture] = field(default_factory=list)
