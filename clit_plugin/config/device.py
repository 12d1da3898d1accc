"""The GPUs that options ask for, compared with those of this machine."""

from dataclasses import replace
from typing import Literal

import torch

from clit_plugin.config.options import Options
from clit_plugin.utils.errors import UserError
from clit_plugin.utils.startup import under_torchrun


def settle_device(options: Options, path: str) -> tuple[Options, list[str]]:
    """Options adapted to the available GPUs, and one line per change.

    Args:
        options: Checked options.
        path: Their file, for these lines.

    Raises:
        UserError: As ``device_count``.
    """
    notes = []
    num_gpu = options.num_gpu
    if num_gpu == 1 and torch.cuda.device_count() == 0:
        num_gpu = 0
        notes.append(f"{path}: num_gpu: 0 (the CPU), as torch sees no GPU")
    num_gpu = device_count(num_gpu)
    datasets, train = options.datasets, options.datasets.train
    if num_gpu == 0 and train is not None and train.prefetch_mode == "cuda":
        datasets = replace(datasets, train=replace(train, prefetch_mode=None))
        notes.append(f"{path}: datasets.train.prefetch_mode: ignored; cuda needs a GPU")
    return replace(options, num_gpu=num_gpu, datasets=datasets), notes


def device_count(num_gpu: int | Literal["auto"]) -> int:
    """``num_gpu`` for BasicSR; ``auto`` is the number of available GPUs under torchrun, else 1 or, on the CPU, 0.

    Raises:
        UserError: More GPUs than available, or several without torchrun.
    """
    present = torch.cuda.device_count()
    if num_gpu == "auto":
        return present if under_torchrun() else min(present, 1)
    if not 0 <= num_gpu <= present:
        raise UserError(f"num_gpu: expected 0 to {present}, the number of GPUs that torch sees, or auto; got {num_gpu}")
    if num_gpu > 1 and not under_torchrun():
        raise UserError(f"num_gpu: {num_gpu} GPUs need torchrun --nproc_per_node={num_gpu} -m clit_plugin train ...")
    return num_gpu
