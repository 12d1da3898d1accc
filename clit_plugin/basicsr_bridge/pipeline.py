"""Run BasicSR's pipelines, which read a file and the command line, on checked options."""

import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from clit_plugin.utils.console import silent_stdout
from clit_plugin.utils.startup import under_torchrun


def run_pipeline(
    pipeline: Callable[[str], None],
    options: dict[str, Any],
    file_name: str,
    flags: Sequence[str],
    root: Path,
    requested: Mapping[str, Any] | None = None,
) -> None:
    """Run one of BasicSR's pipelines on options that are checked and complete.

    Args:
        pipeline: ``train_pipeline`` or ``test_pipeline``.
        options: Checked options as BasicSR reads them, ``Options.for_basicsr()``.
        file_name: The option file.
        flags: Further flags for BasicSR's command line.
        root: The folder below which experiments and results are written.
        requested: Content of the file, saved in the run's folder so that the run can be repeated.
    """
    from clit_plugin.basicsr_bridge.entry import Order, handing_over, this_command

    command = sys.argv
    launcher = "pytorch" if under_torchrun() else "none"
    order = Order(path=file_name, requested=requested or options, options=options, command=this_command())
    try:
        sys.argv = [command[0], "-opt", file_name, "--launcher", launcher, *flags]
        with handing_over(order), silent_stdout():  # BasicSR prints a few lines around its logger
            pipeline(str(root))
    finally:
        sys.argv = command
