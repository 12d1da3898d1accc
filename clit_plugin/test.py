"""Testing trained weights on several sets, by BasicSR's own pipeline."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import basicsr.test

from clit_plugin import compat
from clit_plugin.errors import IncompleteError, UserError
from clit_plugin.options import check_files, load_options
from clit_plugin.pipeline import add_option_arguments, device_count, run_pipeline
from clit_plugin.schema import choose

DESCRIPTION = """\
Score trained weights on the sets of an option file, each at its scale and by its protocol. The log goes to
results/NAME below the working directory.

examples:
  clit test -opt options/test/edsr.yml
  clit test -opt options/test/edsr.yml --sets Set5_x2 Set5_x3 Set5_x4
  clit test -opt options/test/edsr.yml --set path.pretrain_network_g=my.pth val.save_img=true
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    add_option_arguments(parser, many=False)
    parser.add_argument("--sets", nargs="+", metavar="NAME", help="only these sets of the file, as DIV2K_x2 Set5_x3")


def run(args: argparse.Namespace) -> int:
    """Check the options, then test.

    Raises:
        UserError: Bad options, data or weights; nothing is written then.
    """
    options = load_options(args.opt, is_train=False, overrides=args.set)
    options["num_gpu"] = device_count(options["num_gpu"])
    if args.sets:
        _choose_sets(options, args.sets)
    check_files(options)
    compat.reset_logger()
    try:
        run_pipeline(basicsr.test.test_pipeline, options, Path(args.opt).name, [], Path.cwd())
    except UserError as error:
        raise IncompleteError(str(error)) from error
    return 0


def _choose_sets(options: dict[str, Any], names: Sequence[str]) -> None:
    """Keep the sets of these names."""
    present = {dataset["name"]: key for key, dataset in options["datasets"].items()}
    kept = [present[choose(name, present, "--sets")] for name in names]
    options["datasets"] = {key: options["datasets"][key] for key in kept}


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point of ``python -m clit_plugin.test``."""
    from clit_plugin.cli import run_command

    return run_command("test", arguments)


if __name__ == "__main__":
    sys.exit(main())
