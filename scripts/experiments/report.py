"""Tables of all results in scripts/experiments/results: mean and spread over the seeds, as Markdown.

usage: python scripts/experiments/report.py [STUDY ...] > scripts/experiments/REPORT.md
"""

import json
import statistics
import sys
from collections import defaultdict
from typing import Any

from jobs import read_jobs
from run import BENCHMARKS, RESULTS, SCALES

TITLES = {
    "systems": "(a) Systems, as Table 1: r ~ U(1, 4)",
    "cascade": "(b) LIT and its cascade at equal total steps",
    "strategies": "(c) Training strategies of LIT, as Table 5",
    "others": "(d) Cumulative training of LIIF and LTE, as Table 6",
    "components": "(e) Components of LIT, as Table 3",
    "grids": "(f) Size of the local grid, as Table 4; LIT's is 3 x 3",
    "recipe": "Recipe, 2,000 steps, one change each",
    "release": "Weights that ship with the package",
}


def main(studies: list[str]) -> None:
    """Print one section for each study that has results."""
    order = list(dict.fromkeys(job.system for job in read_jobs()))
    results = [json.loads(file.read_text()) for file in sorted(RESULTS.glob("*.json"))]
    for study in studies or TITLES:
        systems = defaultdict(list)
        for result in results:
            if study in result["studies"]:
                systems[result["system"]].append(result)
        if systems:
            print(f"## {TITLES[study]}\n")
            for family in sets_of(systems):
                print_table(family, {name: systems[name] for name in order if name in systems})


def sets_of(systems: dict[str, list[dict[str, Any]]]) -> list[str]:
    present = {family for results in systems.values() for result in results for family in result["psnr"]}
    return [family for family in ("held_out", *BENCHMARKS) if family in present]


def print_table(family: str, systems: dict[str, list[dict[str, Any]]]) -> None:
    """One row per system: PSNR, mean and standard deviation over the seeds."""
    scales = [f"x{scale}" for scale in SCALES]
    print(f"{family}, PSNR in dB\n\n| system | steps | seeds | {' | '.join(scales)} |")
    print("|" + "---|" * (3 + len(scales)))
    for system, results in systems.items():
        cells = []
        for scale in scales:
            values = [result["psnr"][family][scale] for result in results if scale in result["psnr"].get(family, {})]
            cells.append(cell(values))
        print(f"| {system} | {results[0]['steps'] or '-'} | {len(results)} | {' | '.join(cells)} |")
    print()


def cell(values: list[float]) -> str:
    if not values:
        return "-"
    mean = f"{statistics.fmean(values):.2f}"
    return mean if len(values) == 1 else f"{mean} ± {statistics.stdev(values):.2f}"


if __name__ == "__main__":
    main(sys.argv[1:])
