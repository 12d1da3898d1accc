"""Training: the stages of an experiment, one after the other, each by BasicSR's own pipeline."""

import argparse
import os
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from clit_plugin.commands.shared_arguments import add_option_arguments
from clit_plugin.utils.console import say, warn, written
from clit_plugin.utils.errors import IncompleteError, Problems, UserError

if TYPE_CHECKING:  # they import torch
    from clit_plugin.config.option_checks import OptionFile
    from clit_plugin.config.options import Options

DESCRIPTION = """\
Train the stages of one or more option files in order. Each stage starts from the weights of the one before. Output goes
to experiments/NAME below the working directory: weights in models/, states for resuming in training_states/, and a log.

examples:
  clit train -opt options/train/edsr_stage1.yml
  clit train -opt options/train/edsr_stage1.yml options/train/edsr_stage2.yml --auto_resume
  clit train -opt my.yml --set train.total_iter=1000 datasets.train.batch_size_per_gpu=8
  torchrun --nproc_per_node=4 -m clit_plugin train -opt options/train/edsr_stage1.yml
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    add_option_arguments(parser, many=True)
    parser.add_argument("--auto_resume", "--auto-resume", action="store_true", help="resume where the last run stopped")


def run(args: argparse.Namespace) -> int:
    """Check every stage, then train those that are not finished.

    Raises:
        UserError: Bad options, data or weights; nothing is written.
    """
    from clit_plugin.basicsr_bridge.training import exclusive_training
    from clit_plugin.config.input_checks import check_files, checkpoint_bytes
    from clit_plugin.utils.output_files import check_writable

    root = Path.cwd()
    stages = _read_stages(args, root)
    names = [stage.options.name for stage in stages]
    todo = [i for i, stage in enumerate(stages) if not (args.auto_resume and _is_finished(root, stage.options))]
    problems = Problems()
    for i in todo:
        with problems:
            # Weights of a stage that is still to run come from the chain itself.
            check_files(stages[i].options, with_weights=i == 0 or i - 1 not in todo)
            check_writable(_latest(root, stages[i].options), needed=checkpoint_bytes(stages[i].options))
    problems.raise_found()
    timeout = max(stage.options.train.timeout for stage in stages if stage.options.train)
    with exclusive_training(root, (names[i] for i in todo), timeout=timeout):
        for i, name in enumerate(names):
            progress = f"Stage {i + 1} of {len(stages)}, {name}"
            if i in todo:
                say(progress)
                _train(stages[i], root, auto_resume=args.auto_resume)
            else:
                say(f"{progress}: already finished, skipped")
    return 0


def _read_stages(args: argparse.Namespace, root: Path) -> "list[OptionFile]":
    """The option files, each of which starts from the weights of the one before."""
    from clit_plugin.config.device import settle_device
    from clit_plugin.config.option_checks import load_option_file

    problems, files = Problems(), []
    for path in args.opt:
        with problems:
            files.append(load_option_file(path, is_train=True, overrides=args.set))
    problems.raise_found()
    names = [file.options.name for file in files]
    for name in names:
        if names.count(name) > 1:
            raise UserError(f"name: two stages are named {name}; each needs a folder of its own")
    stages = files[:1] + [
        _continue_from(_latest(root, before.options), file) for before, file in zip(files, files[1:], strict=False)
    ]
    for i, stage in enumerate(stages):
        options, notes = settle_device(stage.options, stage.path)
        stages[i] = replace(stage, options=options)
        for note in [*stage.notes, *notes]:
            say(note)
    return stages


def _train(stage: "OptionFile", root: Path, *, auto_resume: bool) -> None:
    """Train one stage to its end."""
    import basicsr.train
    import torch.distributed as dist

    from clit_plugin.basicsr_bridge.output_patches import reset_logger
    from clit_plugin.basicsr_bridge.pipeline import run_pipeline
    from clit_plugin.basicsr_bridge.training import interruptible_stage

    options, flags = stage.options, ["--auto_resume"] * auto_resume
    assert options.train is not None
    start = time.monotonic()
    reset_logger()
    with interruptible_stage(root / "experiments" / options.name):
        run_pipeline(basicsr.train.train_pipeline, options.for_basicsr(), stage.path, flags, root, stage.requested)
    if dist.is_initialized():
        dist.barrier()  # the next stage reads what rank 0 has written
    if not _is_finished(root, options):
        raise IncompleteError(f"{options.name}: ended before its {options.train.total_iter} steps; see its log")
    weights = os.path.relpath(_latest(root, options))
    say(written(weights, time.monotonic() - start, f"{options.train.total_iter} steps"))


def _latest(root: Path, options: "Options") -> Path:
    return root / "experiments" / options.name / "models" / "net_g_latest.pth"


def _continue_from(weights: Path, stage: "OptionFile") -> "OptionFile":
    """The stage, starting from the weights of the one before it in the chain."""
    path, shown = stage.options.path, os.path.relpath(weights)
    given = path.pretrain_network_g
    if given and Path(given).expanduser().resolve() != weights.resolve():
        raise UserError(
            f"{stage.path}: path.pretrain_network_g is {given}, but the stage before writes {shown}; remove the key, "
            "or train the stage on its own"
        )
    requested = {**stage.requested, "path": {**(stage.requested.get("path") or {}), "pretrain_network_g": shown}}
    options = replace(stage.options, path=replace(path, pretrain_network_g=str(weights)))
    return replace(stage, requested=requested, options=options)


def _is_finished(root: Path, options: "Options") -> bool:
    """Whether the final weights exist and have the steps that the options ask for; damaged ones are set aside."""
    from clit_plugin.archs.weights import read_checkpoint
    from clit_plugin.basicsr_bridge.checkpoint_pairs import set_aside

    assert options.train is not None
    weights = Path(os.path.relpath(_latest(root, options)))
    if not weights.is_file():
        return False
    try:
        steps = read_checkpoint(weights).get("iter", 0)
    except UserError as error:
        set_aside(weights, "damaged", error, report=warn)
        return False
    return bool(steps >= options.train.total_iter)
