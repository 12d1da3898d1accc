"""A report as a self-contained HTML file, and as Markdown."""

import base64
import html
from collections.abc import Iterable, Set
from functools import singledispatch
from itertools import accumulate

from clit_plugin.evaluation.report.document import (
    Block,
    Cell,
    Document,
    Figure,
    Heading,
    Paragraph,
    Picture,
    Plot,
    Row,
    Table,
)

_STYLE = """
:root { color-scheme: light; }
body { font: 15px/1.5 system-ui, sans-serif; color: #1c1e21; background: #fff; margin: 2rem auto; max-width: 84rem;
  padding: 0 1.25rem; }
h1 { font-size: 1.6rem; } h2 { font-size: 1.2rem; margin-top: 2.5rem; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-size: 0.85rem; font-variant-numeric: tabular-nums; }
.caption { margin: 0; padding: 0.4rem 0; font-size: 0.85rem; color: #444; }
th, td { padding: 0.22rem 0.55rem; text-align: right; white-space: nowrap; }
th { font-weight: 600; } thead th { border-bottom: 1px solid #888; vertical-align: bottom; }
thead tr.groups th { text-align: center; border-bottom: 1px solid #ccc; }
th.text, td.text { text-align: left; } td.wide { white-space: normal; min-width: 14rem; overflow-wrap: anywhere; }
.edge { border-left: 1px solid #ccc; }
tr.line > * { border-top: 1px solid #bbb; }
tr.ours > * { background: #eef4fb; }
tbody th { position: sticky; left: 0; background: #fff; text-align: left; font-weight: 400; }
tr.ours th { font-weight: 600; }
.first { font-weight: 700; } .second { text-decoration: underline; text-underline-offset: 2px; }
.addition { display: block; font-size: 0.78em; line-height: 1.2; color: #555; }
.notes { font-size: 0.82rem; color: #444; padding-left: 0; list-style: none; }
figure { display: inline-block; margin: 0 1rem 1rem 0; width: 36rem; max-width: 100%; }
figure img { width: 100%; height: auto; }
figure.picture { width: auto; } figure.picture img { width: auto; max-width: 100%; }
figcaption { font-size: 0.82rem; color: #444; }
"""


def as_html(document: Document) -> str:
    """One file that contains everything: style and plots, no scripts, nothing loaded from a network."""
    title = html.escape(document.title)
    body = "\n".join(map(_html_block, document.blocks))
    # An empty icon keeps browsers from requesting one.
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<link rel="icon" href="data:,">\n<title>{title}</title>\n<style>{_STYLE}</style>\n</head>\n'
        f"<body>\n<h1>{title}</h1>\n{body}\n</body>\n</html>\n"
    )


def as_markdown(document: Document) -> str:
    """Markdown; plots and pictures are separate files, see ``Document.figures``."""
    return "\n\n".join([f"# {_md(document.title)}", *map(_markdown_block, document.blocks)]) + "\n"


@singledispatch
def _html_block(block: Block) -> str:
    """A block as HTML, by its type."""
    raise TypeError(block)


@_html_block.register
def _(heading: Heading) -> str:
    return f"<h2>{html.escape(heading.text)}</h2>"


@_html_block.register
def _(paragraph: Paragraph) -> str:
    return f"<p>{html.escape(paragraph.text)}</p>"


@_html_block.register
def _(plot: Plot) -> str:
    return f"<figure>{_html_image(plot, 'image/svg+xml')}</figure>"


@_html_block.register
def _(picture: Picture) -> str:
    image, caption = _html_image(picture, "image/png"), html.escape(picture.caption)
    return f'<figure class="picture">{image}<figcaption>{caption}</figcaption></figure>'


def _html_image(figure: Figure, kind: str) -> str:
    data = base64.b64encode(figure.content).decode()
    return f'<img src="data:{kind};base64,{data}" alt="{html.escape(figure.caption)}">'


@_html_block.register
def _(table: Table) -> str:
    # A caption element would be as narrow as its table.
    lines = [f'<p class="caption">{html.escape(table.caption)}</p>'] if table.caption else []
    lines.append('<div class="scroll"><table>')
    lines.append("<thead>")
    if table.groups:
        cells = "".join(
            f'<th colspan="{span}"{_classes(edge=i > 0)}>{html.escape(text)}</th>'
            for i, (text, span) in enumerate(table.groups)
        )
        lines.append(f'<tr class="groups">{cells}</tr>')
    edges = set(accumulate(span for _, span in table.groups))
    heads = "".join(
        f'<th scope="col"{_classes(text=i < table.text_columns, edge=i in edges)}>{html.escape(name)}</th>'
        for i, name in enumerate(table.columns)
    )
    lines += [f"<tr>{heads}</tr>", "</thead>", "<tbody>"]
    lines += [_html_row(row, table.text_columns, edges) for row in table.rows]
    lines.append("</tbody></table></div>")
    notes = [html.escape(note) for note in table.notes]
    if table.legend:
        marks = '<span class="first">bold</span>: the best, <span class="second">underlined</span>: the second best'
        notes.insert(0, f"{marks} of a column {html.escape(table.legend)}.")
    if notes:
        lines.append('<ul class="notes">' + "".join(f"<li>{note}</li>" for note in notes) + "</ul>")
    return "\n".join(lines)


def _html_row(row: Row, text_columns: int, edges: Set[int]) -> str:
    cells = [f'<th scope="row">{html.escape(row.cells[0].text)}</th>']
    for i, cell in enumerate(row.cells[1:], start=1):
        text = i < text_columns
        classes = _classes(text=text, wide=text and len(cell.text) > 40, edge=i in edges)
        cells.append(f"<td{classes}>{_html_cell(cell)}</td>")
    return f"<tr{_classes(**{row.kind or 'plain': True}, line=row.starts_group)}>{''.join(cells)}</tr>"


def _classes(**classes: bool) -> str:
    names = " ".join(name for name, used in classes.items() if used)
    return f' class="{names}"' if names else ""


def _html_cell(cell: Cell) -> str:
    text = html.escape(cell.text)
    if cell.rank:
        text = f'<span class="{"first" if cell.rank == 1 else "second"}">{text}</span>'
    return text + (f'<span class="addition">{html.escape(cell.addition)}</span>' if cell.addition else "")


@singledispatch
def _markdown_block(block: Block) -> str:
    """A block as Markdown, by its type."""
    raise TypeError(block)


@_markdown_block.register
def _(heading: Heading) -> str:
    return f"## {_md(heading.text)}"


@_markdown_block.register
def _(paragraph: Paragraph) -> str:
    return _md(paragraph.text)


@_markdown_block.register
def _(figure: Figure) -> str:
    return f"![{_md(figure.caption)}]({figure.file_name})"


@_markdown_block.register
def _(table: Table) -> str:
    columns = list(table.columns)
    if table.groups:
        families = [text for text, span in table.groups for _ in range(span)]
        columns = [f"{family} {name}".strip() for family, name in zip(families, columns, strict=True)]
    lines = [_line(map(_md, columns)), _line("---" if i < table.text_columns else "---:" for i in range(len(columns)))]
    lines += [_line(map(_markdown_cell, row.cells)) for row in table.rows]
    notes = [f"\n{_md(note)}" for note in table.notes]
    if table.legend:
        notes.insert(0, f"\n**bold**: the best, *italic*: the second best of a column {_md(table.legend)}.")
    return "\n".join([*([f"{_md(table.caption)}\n"] if table.caption else []), *lines, *notes])


def _markdown_cell(cell: Cell) -> str:
    text = _md(cell.text)
    text = {0: text, 1: f"**{text}**", 2: f"*{text}*"}[cell.rank]
    return f"{text} ({cell.addition})" if cell.addition else text


def _line(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _md(text: str) -> str:
    """Text with everything escaped that Markdown, or HTML in it, would interpret."""
    for character in "\\`*_[]|#<>":
        text = text.replace(
            character, "\\" + character if character not in "<>" else {"<": "&lt;", ">": "&gt;"}[character]
        )
    return " ".join(text.split())
