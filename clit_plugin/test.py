"""Testing trained weights on several sets, by BasicSR's own pipeline."""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import basicsr.test

from clit_plugin import compat
from clit_plugin.console import say
from clit_plugin.data.degradations import DEGRADATIONS
from clit_plugin.errors import IncompleteError, UserError
from clit_plugin.evaluation import describe_evaluation
from clit_plugin.options import check_files, load_options
from clit_plugin.pipeline import add_option_arguments, device_count, run_pipeline
from clit_plugin.stored_results import StoredResults
from clit_plugin.test_sets import choose_sets, missing_roots, parse_folders, parse_scale

DESCRIPTION = """\
Score trained weights on the sets of an option file, each at its scale and by its protocol. Results go to results/NAME
below the working directory: metrics/*.json, results.csv and images.csv, a log; 'clit report' makes tables of them.
What is stored there is not computed again, and an interrupted test goes on where it stopped.

examples:
  clit test -opt options/test/edsr.yml
  clit test -opt options/test/bicubic.yml
  clit test -opt options/test/edsr.yml --sets DIV2K Set5_x3 --set path.pretrain_network_g=my.pth
  clit test -opt options/test/edsr.yml --sets Set5 --scales 1.5 3.7
  clit test -opt options/test/edsr.yml --folder mine=photos --scales 2 3.4 --degradation pil --protocol benchmark
  torchrun --nproc_per_node=4 -m clit_plugin.test -opt options/test/edsr.yml
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    add_option_arguments(parser, many=False)
    parser.add_argument("--sets", nargs="+", default=[], metavar="NAME", help="only these, as Set5 or DIV2K_x2")
    parser.add_argument(
        "--scales", nargs="+", default=[], metavar="S", help="at these scales instead, as 2 3.7, or 2x3.5 for y and x"
    )
    parser.add_argument(
        "--folder", nargs="+", default=[], metavar="NAME=FOLDER", help="only these sets, with HR images from there"
    )
    parser.add_argument("--degradation", choices=DEGRADATIONS, help="make LR from HR by this bicubic kernel")
    parser.add_argument("--protocol", choices=("div2k", "benchmark"), help="score by this protocol")
    parser.add_argument("--again", action="store_true", help="compute what is stored, too")


def run(args: argparse.Namespace) -> int:
    """Check the options, then test what is not stored yet.

    Raises:
        UserError: Bad options, data or weights; nothing is written then.
        IncompleteError: Sets whose images are not there were passed over.
    """
    options = load_options(args.opt, is_train=False, overrides=args.set)
    options["num_gpu"] = device_count(options["num_gpu"])
    options["datasets"] = choose_sets(
        options["datasets"],
        names=args.sets,
        scales=[parse_scale(scale) for scale in args.scales],
        folders=parse_folders(args.folder),
        degradation=args.degradation,
        protocol=args.protocol,
    )
    missing = missing_roots(options["datasets"])
    if missing and (args.sets or args.folder or len(missing) == len(options["datasets"])):
        raise UserError(_told(missing))
    options["datasets"] = {key: one for key, one in options["datasets"].items() if one["name"] not in missing}
    check_files(options)
    options["evaluation"] = describe_evaluation(options)
    root = Path.cwd() / "results" / options["name"]
    if not args.again:
        _drop_stored(options, StoredResults(root))
    if options["datasets"]:
        compat.reset_logger()
        try:
            run_pipeline(basicsr.test.test_pipeline, options, Path(args.opt).name, [], Path.cwd())
        except UserError as error:
            raise IncompleteError(f"{error}; what is done stays, the same command goes on from it") from error
    say(f"Results: {os.path.relpath(root)}/results.csv, images.csv, metrics/")
    if missing:
        raise IncompleteError(f"passed over {_told(missing)}")
    return 0


def _drop_stored(options: dict[str, Any], stored: StoredResults) -> None:
    """Leave only the sets that are not stored, or are without the pictures that are wanted now."""
    for key, dataset in list(options["datasets"].items()):
        result = stored.find(options["evaluation"][dataset["name"]])
        if result and result["options"]["save_img"] >= options["val"]["save_img"]:
            means = ", ".join(f"{metric} {value:.4f}" for metric, value in result["metrics"].items())
            say(f"{dataset['name']}: stored before, passed over ({means})")
            del options["datasets"][key]


def _told(missing: dict[str, str]) -> str:
    sets: dict[str, list[str]] = {}
    for name, root in missing.items():
        sets.setdefault(root, []).append(name)
    places = "; ".join(f"{', '.join(names)}: looked for {root}" for root, names in sets.items())
    return f"{places}; make it with scripts/prepare_*.sh, or say where the images are with --folder NAME=FOLDER"


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point of ``python -m clit_plugin.test``."""
    from clit_plugin.cli import run_command

    return run_command("test", arguments)


if __name__ == "__main__":
    sys.exit(main())
