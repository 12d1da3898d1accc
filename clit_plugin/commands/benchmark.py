"""``clit benchmark``: speed and memory of the fast paths against the plain reference path."""

import argparse
import json
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from clit_plugin.commands.benchmark_cases import CASES
from clit_plugin.utils.errors import UserError

DESCRIPTION = """\
Time CLIT's fast paths against its plain reference path, which computes the same numbers: whole images and training
steps, with EDSR-baseline at the paper's sizes, in float32. Both paths run alternately in this process; the table lists
medians and the spread (min - max). Peak memory is what a run adds, measured in a process of its own.

"share of the floor" relates the time of a whole image to what the factorised evaluation's multiply-adds would take at
the speed of a large matrix product on this machine, measured between the runs. "agreement" is the largest difference
of the images, or of the gradients relative to each one's largest value.

--roofline measures nothing and needs no GPU: it counts, in a minute, kernels, bytes and FLOPs of training steps of
batch 32 and whole images with several networks. GB are what kernels read and write in memory: of a table the rows that
are picked, of everything else each number once; "asked of caches" is what the programs of the fused kernels read again
and again. "work" is the sum over kernels of memory or arithmetic, whichever takes longer at the card's rated speed,
"launches" what Python needs to start them; a step takes at least the longer of the two, and pixels per second follow
from it. "waits" are places where the host has to wait for the GPU. A step is forward and backward pass.

examples:
  the whole table, about 20 minutes on two CPU cores:
    clit benchmark --json benchmark.json
  what a training step would cost on an A100, in bfloat16:
    clit benchmark --roofline --card a100
  two cases:
    clit benchmark --case x4 stage1 --repeats 5

exit status: 0 done, 2 bad input, 130 interrupted (finished cases are printed and written)
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    names = [case.name for case in CASES]
    parser.add_argument("--case", nargs="+", choices=names, metavar="CASE", help=", ".join(names))
    parser.add_argument("--roofline", action="store_true", help="count kernels, bytes, FLOPs and waits instead")
    parser.add_argument("--card", choices=["a100", "h100"], default="h100", help="of --roofline (default: h100)")
    parser.add_argument(
        "--dtype", choices=["bfloat16", "float32"], default="bfloat16", help="of --roofline (default: bfloat16)"
    )
    parser.add_argument("--repeats", type=int, default=3, help="runs of each path (default: 3)")
    parser.add_argument("--device", default="auto", help="cpu, cuda or auto (default: a GPU if available)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures to FILE")
    parser.add_argument("--network", type=json.loads, default={}, help=argparse.SUPPRESS)  # small ones for tests
    parser.add_argument("--memory-of", choices=["fast", "reference"], help=argparse.SUPPRESS)  # the child process


def run(args: argparse.Namespace) -> int:
    """Measure, print the table and write the figures.

    Raises:
        UserError: No such device, or fewer than one repeat.
    """
    import torch

    from clit_plugin.commands.benchmark_measure import measure, peak_memory
    from clit_plugin.utils.atomic_files import write_text

    if args.repeats < 1:
        raise UserError(f"--repeats: expected at least 1, got {args.repeats}")
    if args.roofline and args.case:
        raise UserError("--case: not with --roofline, which has cases of its own")
    if args.device not in ("auto", "cpu", "cuda"):
        raise UserError(f"--device: expected auto, cpu or cuda, got {args.device}")
    if args.device == "cuda" and not torch.cuda.is_available():
        raise UserError("--device cuda: torch sees no GPU; use --device cpu")
    if args.json and not args.json.absolute().parent.is_dir():
        raise UserError(f"--json {args.json}: its folder does not exist")
    if args.roofline:
        return _roofline(args)
    cuda = args.device == "cuda" or (args.device == "auto" and torch.cuda.is_available())
    device = torch.device("cuda" if cuda else "cpu")
    cases = [case for case in CASES if not args.case or case.name in args.case]
    if args.memory_of:
        sys.stdout.write(json.dumps(peak_memory(cases[0], args.memory_of == "reference", device, args.network)))
        return 0
    rows: list[dict[str, Any]] = []
    try:
        for case in cases:
            sys.stderr.write(f"{case.name}: ")
            rows.append(measure(case, args.repeats, device, args.network))
            sys.stderr.write(" done\n")
    finally:  # an interruption keeps the cases that are complete
        report = {
            "device": torch.cuda.get_device_name() if cuda else f"CPU, {torch.get_num_threads()} threads",
            "torch": torch.__version__,
            "cases": rows,
        }
        sys.stdout.write(markdown(report))
        if args.json:
            write_text(args.json, json.dumps(report, indent=2) + "\n")
    return 0


def _roofline(args: argparse.Namespace) -> int:
    import torch

    from clit_plugin.commands.benchmark_roofline import CARDS, CASES, lines_table, roofline_table, row_of
    from clit_plugin.utils.atomic_files import write_text

    card, autocast = CARDS[args.card], None if args.dtype == "float32" else torch.bfloat16
    rows = [row_of(case, card, autocast) for case in CASES]
    sys.stdout.write(roofline_table(rows, card, autocast))
    for row in rows[:2]:
        sys.stdout.write(lines_table(row))
    if args.json:
        report = {"card": card.name, "dtype": args.dtype, "torch": torch.__version__, "cases": rows}
        write_text(args.json, json.dumps(report, indent=2) + "\n")
    return 0


def markdown(report: dict[str, Any]) -> str:
    """The table of the figures, as Markdown."""
    lines = [
        f"{report['device']}; torch {report['torch']}; float32",
        "",
        "| case | fast | reference | ratio | share of the floor | peak memory | agreement |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in report["cases"]:
        fast, reference = (_spread(row["times"][path]) for path in ("fast", "reference"))
        share = f"{row['share_of_floor']:.0%}" if "share_of_floor" in row else "-"
        memory = " / ".join(f"{row['memory'][path] / 2**20:.0f}" for path in ("fast", "reference"))
        part = row["memory"]["fast"] / max(1, row["memory"]["reference"])
        lines.append(
            f"| {row['case']} | {fast} | {reference} | {row['ratio']:.1f} | {share} | {memory} MiB = {part:.2f} "
            f"| {row['agreement']:.0e} |"
        )
    rates = [row["matrix_rate"] for row in report["cases"]]
    if rates:
        lines += ["", f"Large matrix product: {statistics.median(rates) / 1e9:.0f} GFLOP/s."]
    return "\n".join(lines) + "\n"


def _spread(values: Sequence[float]) -> str:
    return f"{statistics.median(values):.3g} s ({min(values):.3g} - {max(values):.3g})"
