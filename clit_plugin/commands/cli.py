"""The command ``clit``."""

import argparse
import errno
import importlib
import logging
import os
import platform
import sys
from collections.abc import Sequence
from importlib import metadata
from types import ModuleType

COMMANDS = {
    "options": "print an option file to start from, for photographs of your own",
    "train": "train by option files, stage after stage",
    "test": "score trained weights on several sets",
    "report": "tables and plots of stored results, beside the paper's",
    "upscale": "make photographs larger by any factor",
    "attention": "draw the attention maps of every branch and head over an image",
    "figure": "draw systems side by side: crops with their PSNR, text at several scales",
    "convert": "make weights of a checkpoint of the original CLIT, LIIF, LTE or Meta-SR code",
    "prepare": "make an LMDB from a folder of images",
    "benchmark": "time the fast paths against the plain one",
}


def module_of(name: str) -> ModuleType:
    """The module of a command."""
    return importlib.import_module(f"clit_plugin.commands.{name}")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run ``clit COMMAND ...``; the exit status is 0 done, 1 failed on the way, 2 bad input, 130 interrupted."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    parser = argparse.ArgumentParser(prog="clit", description="Arbitrary-scale super-resolution with BasicSR.")
    parser.add_argument("--version", action="version", version=_versions(), help="print what is installed and exit")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, text in COMMANDS.items():
        commands.add_parser(name, help=text, add_help=False)
    known, rest = parser.parse_known_args(arguments[:1])
    return run_command(known.command, arguments[1:] + rest)


def run_command(name: str, arguments: Sequence[str] | None = None) -> int:
    """Run one command; every error that a user can mend is one line, or one for each thing wrong."""
    from clit_plugin.commands.shared_arguments import add_quiet_argument
    from clit_plugin.utils.console import set_quiet
    from clit_plugin.utils.errors import IncompleteError, UserError
    from clit_plugin.utils.output_files import reason

    try:
        module: ModuleType = module_of(name)
        parser = argparse.ArgumentParser(
            prog=f"clit {name}",
            description=module.DESCRIPTION,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        module.add_arguments(parser)
        add_quiet_argument(parser)
        args = parser.parse_args(arguments)
        set_quiet(args.quiet)
        importlib.import_module("clit_plugin.plugin")  # torch and BasicSR: seconds, which a help does not take
        logging.raiseExceptions = False  # a log on a full disk would be a traceback a line
        status = int(module.run(args))
        sys.stdout.flush()
        return status
    except UserError as error:
        for problem in error.problems:
            sys.stderr.write(f"clit {name}: error: {_one_line(problem)}\n")
        return 1 if isinstance(error, IncompleteError) else 2
    except ImportError as error:
        sys.stderr.write(f"clit {name}: error: {_one_line(str(error))}\n")
        return 2
    except BrokenPipeError:  # a reader such as head has enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        named = f"{error.filename}: " * (error.filename is not None)
        sys.stderr.write(f"clit {name}: error: {_one_line(f'{named}{reason(error)}')}\n")
        return 2 if error.errno in (errno.ENAMETOOLONG, errno.ELOOP) else 1
    except MemoryError:
        sys.stderr.write(f"clit {name}: error: not enough memory; give smaller images or sizes\n")
        return 1
    except KeyboardInterrupt:
        hints = {
            "train": "; what is saved stays: run again with --auto_resume",
            "test": "; what is done stays: the same command goes on from it",
        }
        hint = hints.get(name, "")
        sys.stderr.write(f"\nclit {name}: interrupted{hint}\n")
        return 130


def _versions() -> str:
    """This package's version and those of what its numbers depend on, in one line."""
    found = {}
    for name in ("clit_plugin", "basicsr", "torch"):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "not installed"
    own = found.pop("clit_plugin")
    others = ", ".join(f"{name} {version}" for name, version in found.items())
    return f"clit {own} ({others}, Python {platform.python_version()})"


def _one_line(text: str) -> str:
    """The message itself, without the traceback in which a data loader's worker has wrapped it."""
    message = text.rpartition("clit_plugin.utils.errors.UserError: ")[2]
    return " ".join(line.strip() for line in message.splitlines() if line.strip())


if __name__ == "__main__":
    sys.exit(main())
