"""The program of ``scripts/soak.sh``: runs the parts and writes the page of results."""

import argparse
import os
import platform
import sys
import tempfile
import time
from pathlib import Path

import torch
from batches import batches
from failures import checkpoint_failures, run_failures
from kills import kills

PARTS = ("kills", "batches", "failures", "checkpoints")


def main() -> int:
    """Run the parts, print and write the page; returns 1 if anything is not as expected."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true", help="a short run")
    parser.add_argument("--kills", type=int, help="default 20")
    parser.add_argument("--batches", type=int, help="default 10,000")
    parser.add_argument(
        "--parts", nargs="+", choices=PARTS, default=PARTS, metavar="PART", help=f"of {', '.join(PARTS)}; default all"
    )
    parser.add_argument("--out", type=Path, default=Path("soak.md"), help="the page (default: soak.md)")
    args = parser.parse_args()
    number_of_kills = args.kills or (1 if args.quick else 20)
    number_of_batches = args.batches or (200 if args.quick else 10_000)
    out = args.out.resolve()
    lines = [
        "# What a training survives",
        "",
        f"{time.strftime('%Y-%m-%d')}, {platform.machine()}, {os.cpu_count()} cores, torch {torch.__version__}, "
        "tiny networks on the CPU, by",
        "",
        f"    scripts/soak.sh{' --quick' * args.quick} --parts {' '.join(args.parts)} --kills {number_of_kills} "
        f"--batches {number_of_batches}",
    ]
    well = True
    out.write_text("", encoding="utf-8")  # fails now if the folder does not exist
    with tempfile.TemporaryDirectory(prefix="soak_") as folder:
        root = Path(folder)
        parts = {
            "kills": ("SIGKILL", lambda: kills(root / "kills", number_of_kills)),
            "batches": ("Batches", lambda: batches(root / "batches", number_of_batches)),
            "failures": ("Failing runs", lambda: run_failures(root / "runs", quick=args.quick)),
            "checkpoints": (
                "Damaged checkpoints and weights",
                lambda: checkpoint_failures(root / "checkpoints", quick=args.quick),
            ),
        }
        for title, part in (parts[name] for name in args.parts):
            sys.stderr.write(f"soak: {title} ...\n")
            good, body = part()
            well = well and good
            lines += ["", f"## {title}", "", *body]
            out.write_text("\n".join(lines) + "\n", encoding="utf-8")
    sys.stdout.write("\n".join(lines) + "\n")
    return 0 if well else 1


if __name__ == "__main__":
    sys.exit(main())
