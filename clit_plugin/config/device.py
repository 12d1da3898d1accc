"""Which of the GPUs that options ask for this machine has."""

from dataclasses import replace
from typing import Literal

import torch

from clit_plugin.config.options import Options
from clit_plugin.data.dataset_options import TrainSetOptions
from clit_plugin.utils.errors import UserError
from clit_plugin.utils.startup import under_torchrun


def settle_device(options: Options, path: str) -> tuple[Options, list[str]]:
    """Options with the GPUs that are there, and one line for each change.

    Args:
        options: Checked options.
        path: Their file, for the lines.

    Raises:
        UserError: As ``device_count``.
    """
    notes = []
    num_gpu = options.num_gpu
    if num_gpu == 1 and torch.cuda.device_count() == 0:
        num_gpu = 0
        notes.append(f"{path}: num_gpu: 0, the CPU, as torch sees no GPU here")
    num_gpu = device_count(num_gpu)
    datasets = dict(options.datasets)
    for name, dataset in datasets.items():
        if num_gpu == 0 and isinstance(dataset, TrainSetOptions) and dataset.prefetch_mode == "cuda":
            datasets[name] = replace(dataset, prefetch_mode=None)
            notes.append(f"{path}: datasets.{name}.prefetch_mode: ignored; cuda needs a GPU")
    return replace(options, num_gpu=num_gpu, datasets=datasets), notes


def device_count(num_gpu: int | Literal["auto"]) -> int:
    """``num_gpu`` as BasicSR takes it: how many GPUs there are under torchrun, else 1, or 0 for the CPU.

    Raises:
        UserError: More GPUs than there are, or several in one process, which needs torchrun.
    """
    present = torch.cuda.device_count()
    if num_gpu == "auto":
        return present if under_torchrun() else min(present, 1)
    if not 0 <= num_gpu <= present:
        raise UserError(f"num_gpu: expected 0 to {present}, the GPUs that torch sees here, or auto; got {num_gpu}")
    if num_gpu > 1 and not under_torchrun():
        raise UserError(f"num_gpu: {num_gpu} GPUs need torchrun --nproc_per_node={num_gpu} -m clit_plugin train ...")
    return num_gpu
