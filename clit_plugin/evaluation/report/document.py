"""The parts of a report, independent of the format it is written in."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar


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
    """An image with its caption.

    Attributes:
        name: Its name in a file system and in links, which ``file_name`` completes.
        content: The bytes of the file.
        caption: What the image shows.
    """

    suffix: ClassVar[str]
    name: str
    content: bytes
    caption: str

    @property
    def file_name(self) -> str:
        """Its file name, of characters that are safe in every file system and link."""
        return "".join(c if c.isascii() and (c.isalnum() or c in "._-") else "_" for c in self.name) + self.suffix


class Plot(Figure):
    """A plot as SVG."""

    suffix = ".svg"


class Picture(Figure):
    """A picture as PNG."""

    suffix = ".png"


Block = Heading | Paragraph | Table | Figure


@dataclass(frozen=True)
class Document:
    """A report."""

    title: str
    blocks: list[Block] = field(default_factory=list)

    @property
    def figures(self) -> list[Figure]:
        """The plots and pictures, in order."""
        return [block for block in self.blocks if isinstance(block, Figure)]
