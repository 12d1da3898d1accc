"""Checks and settings that must come before torch is imported."""

import os
import sys
from pathlib import Path


def is_command() -> bool:
    """Whether this process is the command ``clit``, or ``python -m clit_plugin...``, and still starting.

    The command fills BasicSR's registries only after parsing its arguments: importing torch and BasicSR takes seconds,
    too long for a help text or a misspelt option. Any other program that imports the package needs them immediately,
    and so do processes spawned by multiprocessing, which share the command's ``sys.argv`` but not its main module.
    """
    if sys.argv and sys.argv[0] == "-m":  # while Python is looking for the module to run
        after = sys.orig_argv[sys.orig_argv.index("-m") + 1 :] if "-m" in sys.orig_argv else []
        return bool(after) and after[0].partition(".")[0] == "clit_plugin"
    return Path(getattr(sys.modules["__main__"], "__file__", None) or "").name in ("clit", "clit.exe")


def bound_spinning() -> None:
    """Let idle threads of GNU OpenMP sleep after a moment, unless the user has chosen how they wait.

    By default they spin between the thousands of small operations of an image or a training step. If another process
    needs the same cores, every operation then waits for a thread that is not running. This only has an effect before
    torch is imported.
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", "10000")


def under_torchrun() -> bool:
    """Whether torchrun, or a launcher like it, has started this process."""
    return "RANK" in os.environ and "WORLD_SIZE" in os.environ
