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

INTRODUCTION = """\
# Studies at a small budget

`python scripts/experiments/report.py` prints this page from the JSON files in `results/`. All systems are trained
alike: 37 photographs (`scripts/photographs.sh`), an EDSR encoder of 32 channels and 4 blocks, 10,000 steps of 8 crops
of 32 x 32 with 1,024 queries each, Adam from 1e-3 to 1e-5 with a cosine schedule, averaged weights (0.999), heads of
about 64 hidden units (`studies.yml`, `jobs.yml`). Where a column says one seed, differences below about 0.05 dB are not
significant.

Scored by `clit test`, protocol `benchmark`: Y, shave = scale, LR by Pillow's bicubic kernel. `held_out` are 8
photographs that no training saw, and `held_out_realistic` the same ones with LR by `degradation: {type: realistic}`,
which is blurred, noisy and compressed; Urban20 is the first 20 images of Urban100.

`bash scripts/experiments/run.sh --photographs FOLDER --benchmarks FOLDER` trains and scores whatever has no result yet
and resumes if interrupted; `bash scripts/experiments/status.sh` lists what is done, running and left.

Compared with the paper, which trains 1,000,000 steps of 32 crops on DIV2K:

- **Agrees**: LIT is ahead of LIIF and Meta-SR at every scale, on B100 by 0.2 to 0.8 dB. Compared with r ~ U(1, 4),
  training on r ~ U(1, 12) gains at x4 and above and loses at x2; alternating scales lose less there, and cumulative
  training least of the three (Table 5).
- **Open**: at equal total steps the cascade is within 0.05 dB of LIT. The paper's gains, 0.03 to 0.09 dB, are below
  what one seed can resolve.
- **Half agrees**: cumulative training gains LIIF 0.05 to 0.11 dB on B100 at every scale (Table 6); LTE gains nothing at
  x4 and above, and loses 0.07 dB at x2.
- **Disagrees**: LTE is 0.05 to 0.1 dB ahead of LIT; in the paper it is 0.06 to 0.1 dB behind. LTE learns faster, and
  the budget is a hundredth of the paper's.
"""

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
    """Print the tables of the named studies, or the introduction and all tables."""
    if not studies:
        print(INTRODUCTION)
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
    return [family for family in ("held_out", "held_out_realistic", *BENCHMARKS) if family in present]


def print_table(family: str, systems: dict[str, list[dict[str, Any]]]) -> None:
    """One row per system: PSNR, mean and standard deviation over the seeds."""
    scales = [f"x{scale}" for scale in SCALES]
    print(f"{family}, PSNR in dB\n\n| system | steps | seeds | {' | '.join(scales)} |")
    print("|" + "---|" * (3 + len(scales)))
    for system, results in systems.items():
        if not any(family in result["psnr"] for result in results):
            continue
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
