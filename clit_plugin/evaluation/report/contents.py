"""What a report contains, in order."""

from collections.abc import Sequence

from clit_plugin.evaluation.report.document import Document, Heading, Paragraph
from clit_plugin.evaluation.report.extremes import extreme_pictures, extremes_table
from clit_plugin.evaluation.report.paper import load_paper
from clit_plugin.evaluation.report.paper_comparison import paper_table
from clit_plugin.evaluation.report.plots import plot_families
from clit_plugin.evaluation.report.result_tables import provenance_table, results_table
from clit_plugin.evaluation.report.systems import find_systems
from clit_plugin.evaluation.results import SetResult


def make_report(results: Sequence[SetResult], title: str) -> Document:
    """The report of these results."""
    source, tables = load_paper()
    systems = find_systems(results)
    blocks: list = [
        Paragraph(
            "PSNR and SSIM are computed on unrounded values by each set's protocol: div2k compares RGB and cuts "
            "scale + 6 pixels from every border, benchmark compares Y and cuts scale pixels. Higher is better."
        )
    ]
    comparisons = [made for table in tables if (made := paper_table(table, systems)) is not None]
    if comparisons:
        blocks += [Heading("Comparison with the paper"), Paragraph(f"The paper's figures: {source}"), *comparisons]
    figures = plot_families(systems, tables)
    if figures:
        blocks += [Heading("PSNR against scale"), *figures]
    if any(system.results for system in systems):
        blocks += [Heading("Worst and best images"), extremes_table(systems), *extreme_pictures(systems)]
    blocks += [Heading("All results"), results_table(results)]
    return Document(title, [*blocks, Heading("Weights, networks and versions"), provenance_table(results)])
