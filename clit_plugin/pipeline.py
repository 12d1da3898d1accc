"""Handing checked options to BasicSR's pipelines, which read a file and the command line."""

import argparse
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from clit_plugin.console import silent_stdout
from clit_plugin.errors import UserError


def add_option_arguments(parser: argparse.ArgumentParser, *, many: bool, required: bool = True) -> None:
    """Declare what training and testing share.

    Args:
        parser: The command's parser.
        many: Whether several option files may be given.
        required: Whether there must be one.
    """
    parser.add_argument(
        "-opt", "--opt", required=required, nargs="+" if many else None, metavar="YML", help="option file"
    )
    parser.add_argument(
        "--set", nargs="+", default=[], metavar="KEY=VALUE", help="replace options, as in train.total_iter=1000"
    )
    # Older launchers pass it (BasicSR #626); torchrun sets LOCAL_RANK in the environment.
    parser.add_argument("--local_rank", "--local-rank", type=int, help=argparse.SUPPRESS)
    # As BasicSR's scripts pass it; torchrun is told from the environment.
    parser.add_argument("--launcher", type=_launcher, help=argparse.SUPPRESS)


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
        return present if _under_torchrun() else min(present, 1)
    if not 0 <= num_gpu <= present:
        raise UserError(f"num_gpu: expected 0 to {present}, the GPUs that torch sees here, or auto; got {num_gpu}")
    if num_gpu > 1 and not _under_torchrun():
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
    from clit_plugin.basicsr_entry import Order, handing_over, this_command

    command = sys.argv
    launcher = "pytorch" if _under_torchrun() else "none"
    order = Order(path=file_name, asked=asked or options, options=options, command=this_command())
    try:
        sys.argv = [command[0], "-opt", file_name, "--launcher", launcher, *flags]
        with handing_over(order), silent_stdout():  # BasicSR prints a few lines around its logger
            pipeline(str(root))
    finally:
        sys.argv = command


def _launcher(name: str) -> str:
    if name not in ("none", "pytorch"):
        raise argparse.ArgumentTypeError(f"expected none or pytorch, got {name!r}")
    if name == "pytorch" and not _under_torchrun():
        raise argparse.ArgumentTypeError("start with torchrun --nproc_per_node=N -m clit_plugin.train ...")
    return name


def _under_torchrun() -> bool:
    return "RANK" in os.environ and "WORLD_SIZE" in os.environ
