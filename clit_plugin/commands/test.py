"""Testing trained weights, of one file or several, on several sets, by BasicSR's own pipeline."""

import argparse
import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clit_plugin.basicsr_bridge.pipeline import run_pipeline
from clit_plugin.commands.resuming import AFTER_INTERRUPTION
from clit_plugin.commands.shared_arguments import add_option_arguments, add_param_key_argument
from clit_plugin.evaluation.result_files import settings_to_json
from clit_plugin.evaluation.stored_sets import StoredSet
from clit_plugin.metrics.protocol import PROTOCOLS
from clit_plugin.utils.console import is_quiet, say
from clit_plugin.utils.errors import IncompleteError, UserError
from clit_plugin.utils.failures import one_line

if TYPE_CHECKING:  # they import torch
    from clit_plugin.config.options import Options
    from clit_plugin.data.dataset_options import ValSetOptions

DESCRIPTION = """\
Score trained weights: the files of --weights, which contain their networks' options, or the weights of an option file.
Results go to results/NAME below the working directory: metrics/*.json, results.csv, images.csv and a log. A table of
all results is printed, and 'clit report' turns them into pages. Stored results are not recomputed; an interrupted test
resumes where it stopped.

If a file holds averaged weights (params_ema), these are scored, unless --param-key selects the others. For a --folder
set that no option file names, LR is made by Pillow's bicubic kernel, and the protocol is div2k if the name begins with
DIV2K, else benchmark; --degradation and --protocol override this.

examples:
  clit test --weights net_g_latest.pth --folder Set5=datasets/Set5/HR --scales 2 3 4
  clit test --weights LIT=lit.pth CLIT=clit.pth --folder mine=photos --scales 3.4 --degradation matlab
  clit test --weights net_g_latest.pth -opt options/test/edsr.yml --sets DIV2K
  clit test -opt options/test/edsr.yml
  clit test -opt options/test/edsr.yml --sets Set5 --scales 1.5 3.7
  torchrun --nproc_per_node=4 -m clit_plugin test -opt options/test/edsr.yml
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument(
        "--weights", nargs="+", default=[], metavar="[NAME=]FILE", help="weights to score, one folder of results each"
    )
    add_option_arguments(parser, many=False, required=False)
    add_param_key_argument(parser)
    parser.add_argument(
        "--sets", nargs="+", default=[], metavar="NAME", help="test only these sets, such as Set5 or DIV2K_x2"
    )
    parser.add_argument(
        "--scales",
        nargs="+",
        default=[],
        metavar="S",
        help="test at these scales instead, such as 2 3.7, or 2x3.5 for width x height",
    )
    parser.add_argument(
        "--folder",
        nargs="+",
        default=[],
        metavar="NAME=FOLDER",
        help="test only these sets, on the HR images of FOLDER",
    )
    parser.add_argument(
        "--degradation",
        choices=("pil", "matlab", "realistic"),
        help="make LR from HR with this bicubic kernel, or with the defaults of {type: realistic}",
    )
    parser.add_argument("--protocol", choices=tuple(PROTOCOLS), help="score by this protocol")
    parser.add_argument("--again", action="store_true", help="recompute stored results")
    parser.add_argument(
        "--timeout",
        type=float,
        default=60.0,
        metavar="MINUTES",
        help="under torchrun, abort if no process finishes an image for this long (default: %(default)g)",
    )


def run(args: argparse.Namespace) -> int:
    """Check all options, then test the sets without a stored result, and print a table.

    Raises:
        UserError: Bad options, data or weights; nothing is written.
        IncompleteError: Sets whose images are missing were skipped.
    """
    from clit_plugin.config.device import settle_device
    from clit_plugin.config.input_checks import check_files
    from clit_plugin.data.dataset_options import DataSets
    from clit_plugin.evaluation.dataset_selection import missing_roots
    from clit_plugin.evaluation.provenance import describe_evaluation
    from clit_plugin.evaluation.report.score_table import score_table
    from clit_plugin.utils.output_files import check_writable
    from clit_plugin.utils.peers import WatchedRun, end_together

    if not args.timeout > 0:
        raise UserError(f"--timeout: expected more than 0 minutes, got {args.timeout:g}")
    runs: list[dict[str, Any]] = []
    stored: list[list[StoredSet]] = []
    missing: dict[str, str] = {}
    for options, sets in _options(args):
        options, notes = settle_device(options, args.opt or options.name)
        for note in notes:
            say(note)
        missing = missing_roots(sets)
        if missing and (args.sets or args.folder or len(missing) == len(sets)):
            raise UserError(_missing_text(missing))
        present = {key: one for key, one in sets.items() if one.name not in missing}
        options = replace(options, datasets=DataSets(scored=present))
        options = check_files(options, with_weights=not args.weights)  # those of --weights have been loaded
        given = options.for_basicsr()
        check_writable(_root(given) / "results.csv")
        stored.append([StoredSet(_root(given), settings) for settings in describe_evaluation(given).values()])
        runs.append(given)
    watched = WatchedRun("clit test", "--timeout", AFTER_INTERRUPTION["test"])
    with end_together(timeout=args.timeout, run=watched):
        for i, (given, results) in enumerate(zip(runs, stored, strict=True)):
            if len(runs) > 1:
                say(f"{i + 1} of {len(runs)}: {given['name']}")
            _test(given, results, Path(args.opt).name if args.opt else f"{given['name']}.yml", again=args.again)
    if os.environ.get("RANK", "0") == "0" and not is_quiet():
        scores = [[result for one in results if (result := one.read()) is not None] for results in stored]
        sys.stdout.write(score_table(scores) + "\n")
    say("Results: " + ", ".join(f"{os.path.relpath(_root(given))}/results.csv" for given in runs))
    if missing:
        raise IncompleteError(f"skipped {_missing_text(missing)}")
    return 0


def _options(args: argparse.Namespace) -> "list[tuple[Options, dict[str, ValSetOptions]]]":
    """Checked options of every run, and the sets that are asked for."""
    from clit_plugin.commands.test_arguments import check_overrides, name_weights, parse_folders, parse_scale
    from clit_plugin.config.option_checks import check_options, load_option_file
    from clit_plugin.config.options import set_for_basicsr
    from clit_plugin.config.weights_runs import weights_options
    from clit_plugin.config.yaml_files import read_options, with_overrides
    from clit_plugin.data.realistic_options import RealisticOptions
    from clit_plugin.evaluation.dataset_selection import choose_sets

    chosen: dict[str, Any] = {
        "names": args.sets,
        "scales": [parse_scale(scale) for scale in args.scales],
        "folders": parse_folders(args.folder),
        "degradation": vars(RealisticOptions(type="realistic"))
        if args.degradation == "realistic"
        else args.degradation,
        "protocol": args.protocol,
    }
    if not args.weights:
        if args.opt is None:
            raise UserError("--weights: missing; give weights files, or an option file with -opt")
        overrides = [f"path.param_key_g={args.param_key}"] if args.param_key else []
        read = load_option_file(args.opt, is_train=False, overrides=[*args.set, *overrides])
        for note in read.notes:
            say(note)
        runs = [read.options]
    else:
        check_overrides(args.set)
        given = read_options(args.opt, args.set) if args.opt else with_overrides({}, args.set)
        runs = []
        for name, file in name_weights(args.weights).items():
            options, net = weights_options(name, file, given, args.opt, args.param_key)
            if not options.get("datasets"):
                if not args.folder:
                    raise UserError(
                        "--folder: missing; name the images to score, as in --folder Set5=DIR --scales 2 3 4"
                    )
                options["datasets"] = {key: set_for_basicsr(one) for key, one in choose_sets({}, **chosen).items()}
            runs.append(check_options(options, is_train=False, net=net))
    return [(run, choose_sets(run.datasets.scored, **chosen)) for run in runs]


def _test(options: dict[str, Any], sets: Sequence[StoredSet], file_name: str, *, again: bool) -> None:
    """Score the sets of one run that are not stored yet."""
    import basicsr.test

    from clit_plugin.basicsr_bridge.output_patches import reset_logger

    if not again:
        _drop_stored(options, sets)
    if options["datasets"]:
        reset_logger()
        options["evaluation"] = {one.settings.set: settings_to_json(one.settings) for one in sets}
        try:
            run_pipeline(basicsr.test.test_pipeline, options, file_name, [], Path.cwd())
        except (UserError, OSError) as error:
            text = str(error) if isinstance(error, UserError) else f"{options['name']}: {one_line(error)}"
            raise IncompleteError(f"{text}; {AFTER_INTERRUPTION['test']}") from error


def _root(options: dict[str, Any]) -> Path:
    return Path.cwd() / "results" / options["name"]


def _drop_stored(options: dict[str, Any], sets: Sequence[StoredSet]) -> None:
    """Keep only the sets that are not stored, or are stored without the pictures that are asked for now."""
    stored = {one.settings.set: one for one in sets}
    for key, dataset in list(options["datasets"].items()):
        result = stored[dataset["name"]].read()
        if result and result.options["save_img"] >= options["val"]["save_img"]:
            means = ", ".join(f"{metric} {value:.4f}" for metric, value in result.metrics.items())
            say(f"{dataset['name']}: stored already, skipped ({means})")
            del options["datasets"][key]


def _missing_text(missing: dict[str, str]) -> str:
    sets: dict[str, list[str]] = {}
    for name, root in missing.items():
        sets.setdefault(root, []).append(name)
    places = "; ".join(f"{', '.join(names)}: looked for {root}" for root, names in sets.items())
    return f"{places}; create it with scripts/prepare_*.sh, or give another location with --folder NAME=FOLDER"
