"""Stored results as a report: the paper's tables with ours beside them, plots, best and worst images."""

import argparse
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from clit_plugin.utils.console import say, written

if TYPE_CHECKING:
    from clit_plugin.evaluation.report.document import Document
    from clit_plugin.evaluation.report.systems import Result

DESCRIPTION = """\
Make a report of what 'clit test' has stored: Tables 1 and 2 of the paper with ours beside its figures, PSNR against
scale, the best and the worst images. It is written twice: report.html, one file that needs no network, and report.md
with its plots as SVG.

examples:
  clit report results
  clit report results/edsr_clit results/bicubic -o my_report
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("results", nargs="+", metavar="RESULTS", help="folders, as results/edsr_clit, or .json files")
    parser.add_argument("-o", "--output", default="report", metavar="FOLDER", help="where to write (default: report)")
    parser.add_argument("--title", default="Arbitrary-scale super-resolution: results", help="title of the report")


def run(args: argparse.Namespace) -> int:
    """Read the results and write the report.

    Raises:
        UserError: No results, a file that is none, or a folder that cannot be written.
    """
    from clit_plugin.evaluation.report.document import Figure, Picture
    from clit_plugin.evaluation.report.pages import as_html, as_markdown, figure_file
    from clit_plugin.evaluation.results import read_results
    from clit_plugin.utils.atomic_files import write_bytes, write_text
    from clit_plugin.utils.output_files import check_writable

    begun = time.monotonic()
    output = Path(args.output)
    check_writable(output / "report.html")
    document = make_report(read_results(args.results), args.title)
    figures = [block for block in document.blocks if isinstance(block, Figure)]
    files = {figure_file(figure): figure.svg for figure in figures}
    for picture in (block for block in document.blocks if isinstance(block, Picture)):
        write_bytes(output / figure_file(picture), picture.png)
    files |= {"report.md": as_markdown(document), "report.html": as_html(document)}
    for name, text in files.items():
        write_text(output / name, text)
    say(written(output / "report.html", time.monotonic() - begun, f"the report, and {output / 'report.md'}"))
    return 0


def make_report(results: "Sequence[Result]", title: str) -> "Document":
    """The report of these results."""
    from clit_plugin.evaluation.report.document import Document, Heading, Paragraph
    from clit_plugin.evaluation.report.paper import load_paper
    from clit_plugin.evaluation.report.plots import plot_families
    from clit_plugin.evaluation.report.systems import find_systems
    from clit_plugin.evaluation.report.tables import (
        extreme_pictures,
        extremes_table,
        paper_table,
        provenance_table,
        results_table,
    )

    source, tables = load_paper()
    systems = find_systems(results)
    blocks: list = [
        Paragraph(
            "PSNR and SSIM on unrounded values by each set's protocol: div2k compares RGB and cuts scale + 6 pixels "
            "from every border, benchmark compares Y and cuts scale pixels. Higher is better."
        )
    ]
    laid_out = [made for table in tables if (made := paper_table(table, systems)) is not None]
    if laid_out:
        blocks += [Heading("Beside the paper"), Paragraph(f"Figures of the paper: {source}"), *laid_out]
    figures = plot_families(systems, tables)
    if figures:
        blocks += [Heading("PSNR against scale"), *figures]
    if any(system.results for system in systems):
        blocks += [Heading("Worst and best images"), extremes_table(systems), *extreme_pictures(systems)]
    blocks += [Heading("All results"), results_table(results)]
    return Document(title, [*blocks, Heading("What was run"), provenance_table(results)])
