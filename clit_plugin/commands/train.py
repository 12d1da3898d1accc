"""Training: the stages of an experiment, one after the other, each by BasicSR's own pipeline.

Under torchrun: ``torchrun --nproc_per_node=4 -m clit_plugin.train -opt stage1.yml stage2.yml``.
"""

import argparse
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clit_plugin.basicsr_bridge.pipeline import run_pipeline, settle_device
from clit_plugin.commands.shared_arguments import add_option_arguments
from clit_plugin.utils.console import say, warn, written
from clit_plugin.utils.errors import IncompleteError, Problems, UserError
from clit_plugin.utils.failures import log_traceback, one_line
from clit_plugin.utils.signals import end_workers, stop_on_signal, stop_requested

if TYPE_CHECKING:  # it imports torch
    from clit_plugin.config.option_checks import Run
from clit_plugin.basicsr_bridge.run_lock import lock_runs

DESCRIPTION = """\
Train by option files, stage after stage. A stage starts from the weights of the one before it. Results go to
experiments/NAME below the working directory: weights in models/, states for a resume in training_states/, a log.

examples:
  clit train -opt options/train/edsr_stage1.yml
  clit train -opt options/train/edsr_stage1.yml options/train/edsr_stage2.yml --auto_resume
  clit train -opt my.yml --set train.total_iter=1000 datasets.train.batch_size_per_gpu=8
  torchrun --nproc_per_node=4 -m clit_plugin.train -opt options/train/edsr_stage1.yml
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    add_option_arguments(parser, many=True)
    parser.add_argument("--auto_resume", "--auto-resume", action="store_true", help="go on where the last run stopped")


def run(args: argparse.Namespace) -> int:
    """Check every stage, then train those that are not finished.

    Raises:
        UserError: Bad options, data or weights; nothing is written then.
    """
    from clit_plugin.config.input_checks import check_files, checkpoint_bytes
    from clit_plugin.config.option_checks import load_run
    from clit_plugin.utils.output_files import check_writable
    from clit_plugin.utils.peers import WatchedRun, end_together

    root = Path.cwd()
    problems, runs = Problems(), []
    for path in args.opt:
        with problems:
            runs.append(load_run(path, is_train=True, overrides=args.set))
    problems.raise_found()
    stages = [run.options for run in runs]
    names = [stage["name"] for stage in stages]
    for name in names:
        if names.count(name) > 1:
            raise UserError(f"name: {name} is that of two stages; each needs a folder of its own")
    for before, stage, path in zip(stages, stages[1:], args.opt[1:], strict=False):
        _continue_from(_latest(root, before), stage, path)
    for one in runs[1:]:
        weights = os.path.relpath(one.options["path"]["pretrain_network_g"])
        one.asked["path"] = {**(one.asked.get("path") or {}), "pretrain_network_g": weights}
    for run in runs:
        for note in [*run.notes, *settle_device(run.options, run.path)]:
            say(note)
    todo = [i for i, stage in enumerate(stages) if not (args.auto_resume and _is_finished(root, stage))]
    for i in todo:
        with problems:
            # Weights of a stage that is still to run come from the chain itself.
            check_files(stages[i], with_weights=i == 0 or i - 1 not in todo)
            check_writable(_latest(root, stages[i]), needed=checkpoint_bytes(stages[i]))
    problems.raise_found()
    timeout = max(stage["train"]["timeout"] for stage in stages)
    watched = WatchedRun("clit train", "train.timeout", "what is saved stays, --auto_resume goes on from it")
    with end_together(timeout=timeout, run=watched), lock_runs(root / "experiments", (names[i] for i in todo)):
        for i, stage in enumerate(stages):
            told = f"Stage {i + 1} of {len(stages)}, {stage['name']}"
            if i in todo:
                say(told)
                _train(runs[i], root, auto_resume=args.auto_resume)
            else:
                say(f"{told}: finished before, passed over")
    return 0


def _train(run: "Run", root: Path, *, auto_resume: bool) -> None:
    """Train one stage to its end."""
    import basicsr.train
    import torch.distributed as dist

    from clit_plugin.basicsr_bridge.output_patches import reset_logger

    stage, flags = run.options, ["--auto_resume"] * auto_resume
    begun = time.monotonic()
    reset_logger()
    with _failing_in_one_line(root / "experiments" / stage["name"]), stop_on_signal():
        run_pipeline(basicsr.train.train_pipeline, stage, run.path, flags, root, run.asked)
    if stop_requested():  # while the stage was being validated for the last time
        raise KeyboardInterrupt
    if dist.is_initialized():
        dist.barrier()  # the next stage reads what rank 0 has written
    if not _is_finished(root, stage):
        raise IncompleteError(f"{stage['name']}: ended before its {stage['train']['total_iter']} steps; see its log")
    weights = os.path.relpath(_latest(root, stage))
    say(written(weights, time.monotonic() - begun, f"{stage['train']['total_iter']} steps"))


@contextmanager
def _failing_in_one_line(folder: Path) -> Iterator[None]:
    """Make every error of a stage one line, behind which the command ends instead of waiting for workers."""
    saved = "what is saved stays, --auto_resume goes on from it"
    try:
        yield
    except UserError as error:
        raise IncompleteError(f"{str(error).rstrip()}; {saved}") from error
    except Exception as error:
        log = log_traceback(error, folder)
        traced = f"{os.path.relpath(log)} has the traceback; " if log else ""
        raise IncompleteError(f"{folder.name}: {one_line(error)}; {traced}{saved}") from error
    finally:
        end_workers()


def _latest(root: Path, stage: dict[str, Any]) -> Path:
    return root / "experiments" / stage["name"] / "models" / "net_g_latest.pth"


def _continue_from(weights: Path, stage: dict[str, Any], path: str) -> None:
    """Let a stage start from the one before it in the chain."""
    given = stage["path"].get("pretrain_network_g")
    if given and Path(given).expanduser().resolve() != weights.resolve():
        raise UserError(
            f"{path}: path.pretrain_network_g is {given}, but the stage before writes "
            f"{os.path.relpath(weights)}; remove the key, or train the stage on its own"
        )
    stage["path"]["pretrain_network_g"] = str(weights)


def _is_finished(root: Path, stage: dict[str, Any]) -> bool:
    """Whether the final weights are there, of as many steps as the options ask for; damaged ones are set aside."""
    from clit_plugin.archs.weights import read_checkpoint
    from clit_plugin.basicsr_bridge.checkpoint_pairs import set_aside

    weights = Path(os.path.relpath(_latest(root, stage)))
    if not weights.is_file():
        return False
    try:
        steps = read_checkpoint(weights).get("iter", 0)
    except UserError as error:
        set_aside(weights, "damaged", error, report=warn)
        return False
    return bool(steps >= stage["train"]["total_iter"])
