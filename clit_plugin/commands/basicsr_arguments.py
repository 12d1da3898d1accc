"""The command line of BasicSR's own entry: ``train.py -opt FILE --force_yml train:total_iter=1000 ...``."""

import argparse
from collections.abc import Sequence

from clit_plugin.basicsr_bridge.entry import CommandLine


def split_arguments(arguments: Sequence[str]) -> CommandLine:
    """The option file with changes to it, and the remaining arguments, which BasicSR parses itself."""
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("-opt")
    parser.add_argument("--force_yml", nargs="+", default=[])
    known, rest = parser.parse_known_args(arguments)
    return CommandLine(known.opt, known.force_yml, rest)
