"""``clit report``: stored results as HTML and Markdown."""

import argparse
import time
from pathlib import Path

from clit_plugin.utils.console import say, written

DESCRIPTION = """\
Make a report of the stored results of 'clit test': Tables 1 and 2 of the paper with your rows beside the paper's, PSNR
against scale, the best and the worst images. It is written as report.html, a single self-contained file, and as
report.md with plots in SVG files.

examples:
  clit report results
  clit report results/edsr_clit results/bicubic -o my_report
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument(
        "results", nargs="+", metavar="RESULTS", help="folders such as results/edsr_clit, or .json files"
    )
    parser.add_argument("-o", "--output", default="report", metavar="FOLDER", help="where to write (default: report)")
    parser.add_argument("--title", default="Arbitrary-scale super-resolution: results", help="title of the report")


def run(args: argparse.Namespace) -> int:
    """Read the results and write the report.

    Raises:
        UserError: No results, a file that is not a result, or a folder that cannot be written.
    """
    from clit_plugin.evaluation.report.contents import make_report
    from clit_plugin.evaluation.report.pages import as_html, as_markdown
    from clit_plugin.evaluation.stored_sets import read_results
    from clit_plugin.utils.atomic_files import write_bytes, write_text
    from clit_plugin.utils.output_files import check_writable

    start = time.monotonic()
    output = Path(args.output)
    check_writable(output / "report.html")
    document = make_report(read_results(args.results), args.title)
    for figure in document.figures:
        write_bytes(output / figure.file_name, figure.content)
    write_text(output / "report.md", as_markdown(document))
    write_text(output / "report.html", as_html(document))
    say(written(output / "report.html", time.monotonic() - start, f"the report, and {output / 'report.md'}"))
    return 0
