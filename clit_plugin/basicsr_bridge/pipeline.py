"""Handing checked options to BasicSR's pipelines, which read a file and the command line."""

import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from clit_plugin.utils.console import silent_stdout
from clit_plugin.utils.errors import UserError
from clit_plugin.utils.startup import under_torchrun


def settle_device(options: dict[str, Any], path: str) -> list[str]:
    """Put into options, in place, what this machine has of the GPUs they ask for; return a line for each change.

    Args:
        options: Checked options.
        path: Their file, for the lines.

    Raises:
        UserError: As ``device_count``.
    """
    import torch

    notes = []
    if options["num_gpu"] == 1 and torch.cuda.device_count() == 0:
        options["num_gpu"] = 0
        notes.append(f"{path}: num_gpu: 0, the CPU, as torch sees no GPU here")
    options["num_gpu"] = device_count(options["num_gpu"])
    for name, dataset in options["datasets"].items():
        if dataset.get("prefetch_mode") == "cuda" and options["num_gpu"] == 0:
            dataset["prefetch_mode"] = None
            notes.append(f"{path}: datasets.{name}.prefetch_mode: ignored; cuda needs a GPU")
    return notes


def device_count(num_gpu: int | Literal["auto"]) -> int:
    """``num_gpu`` as BasicSR takes it: how many GPUs there are under torchrun, else 1, or 0 for the CPU.

    Raises:
        UserError: More GPUs than there are, or several in one process, which takes torchrun.
    """
    import torch

    present = torch.cuda.device_count()
    if num_gpu == "auto":
        return present if under_torchrun() else min(present, 1)
    if not 0 <= num_gpu <= present:
        raise UserError(f"num_gpu: expected 0 to {present}, the GPUs that torch sees here, or auto; got {num_gpu}")
    if num_gpu > 1 and not under_torchrun():
        raise UserError(f"num_gpu: {num_gpu} GPUs need torchrun --nproc_per_node={num_gpu} -m clit_plugin.train ...")
    return num_gpu


def run_pipeline(
    pipeline: Callable[[str], None],
    options: dict[str, Any],
    file_name: str,
    flags: Sequence[str],
    root: Path,
    asked: Mapping[str, Any] | None = None,
) -> None:
    """Run one of BasicSR's pipelines on options that are checked and complete.

    Args:
        pipeline: ``train_pipeline`` or ``test_pipeline``.
        options: From ``load_options``.
        file_name: The option file.
        flags: Further flags for BasicSR's command line.
        root: The folder below which experiments and results are written.
        asked: What the file says; it is kept in the run's folder, to be run again.
    """
    from clit_plugin.basicsr_bridge.entry import Order, handing_over, this_command

    command = sys.argv
    launcher = "pytorch" if under_torchrun() else "none"
    order = Order(path=file_name, asked=asked or options, options=options, command=this_command())
    try:
        sys.argv = [command[0], "-opt", file_name, "--launcher", launcher, *flags]
        with handing_over(order), silent_stdout():  # BasicSR prints a few lines around its logger
            pipeline(str(root))
    finally:
        sys.argv = command
