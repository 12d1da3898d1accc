"""The command ``clit``."""

import argparse
import importlib
import logging
import platform
import sys
from collections.abc import Sequence
from importlib import metadata
from types import ModuleType
from typing import NoReturn

from clit_plugin.commands.resuming import AFTER_INTERRUPTION

COMMANDS = {
    "options": "print an option file for your own photographs, or a shipped one",
    "train": "train the stages of one or more option files",
    "test": "score trained weights on several sets",
    "report": "write tables and plots of stored results, beside the paper's",
    "upscale": "upscale photographs, or a video, by any factor",
    "web": "open a picture in the browser, with continuous zoom",
    "attention": "draw the attention maps of every branch and head over an image",
    "figure": "draw systems side by side: crops with PSNR, or one image at several scales",
    "export": "write weights as .safetensors or ONNX for other programs",
    "convert": "convert a checkpoint of the original CLIT, LIIF, LTE or Meta-SR code",
    "prepare": "write a folder of images into an LMDB",
    "benchmark": "time the fast paths against the reference path",
    "doctor": "check that everything is installed and works together",
}


class _OneLineParser(argparse.ArgumentParser):
    """Reports a bad argument in one line; argparse would print all options above it."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: error: {message}; {self.prog} --help lists the arguments\n")


def module_of(name: str) -> ModuleType:
    """The module of a command."""
    return importlib.import_module(f"clit_plugin.commands.{name}")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run ``clit COMMAND ...``; the exit status is 0 done, 1 partly failed, 2 bad input, 130 interrupted."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    parser = argparse.ArgumentParser(prog="clit", description="Arbitrary-scale super-resolution with BasicSR.")
    parser.add_argument(
        "--version", action="version", version=_versions(), help="print the installed versions and exit"
    )
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, text in COMMANDS.items():
        commands.add_parser(name, help=text, add_help=False)
    known, rest = parser.parse_known_args(arguments[:1])
    return run_command(known.command, arguments[1:] + rest)


def run_command(name: str, arguments: Sequence[str] | None = None) -> int:
    """Run one command and report its errors; see ``exit_status``."""
    from clit_plugin.utils.exit_status import exit_status

    return exit_status(f"clit {name}", lambda: _run(name, arguments), interrupted=AFTER_INTERRUPTION.get(name, ""))


def _run(name: str, arguments: Sequence[str] | None) -> int:
    from clit_plugin.commands.shared_arguments import add_quiet_argument
    from clit_plugin.utils.console import set_quiet

    module = module_of(name)
    parser = _OneLineParser(
        prog=f"clit {name}",
        description=module.DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    module.add_arguments(parser)
    add_quiet_argument(parser)
    args = parser.parse_args(arguments)
    set_quiet(args.quiet)
    if getattr(module, "NEEDS_PLUGIN", True):
        importlib.import_module("clit_plugin.plugin")  # imports torch and BasicSR: seconds that --help saves
    logging.raiseExceptions = False  # logging to a full disk would print one traceback per line
    return int(module.run(args))


def _versions() -> str:
    """The versions of this package and of the packages that its numbers depend on, in one line."""
    found = {}
    for name in ("clit_plugin", "basicsr", "torch"):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "not installed"
    own = found.pop("clit_plugin")
    others = ", ".join(f"{name} {version}" for name, version in found.items())
    return f"clit {own} ({others}, Python {platform.python_version()})"


if __name__ == "__main__":
    sys.exit(main())
