"""A run's numbers for programs: ``curves.jsonl`` beside its log, one line of JSON per line of numbers printed."""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from basicsr.utils import MessageLogger, get_root_logger
from basicsr.utils.dist_util import master_only
from torch import Tensor

from clit_plugin.utils.atomic_files import write_text

_CROP = 256  # pixels


class RunLogger(MessageLogger):
    """BasicSR's training logger, which also writes ``curves.jsonl`` and the learning rate's curve."""

    def __init__(self, opt: Mapping[str, Any], start_iter: int = 1, tb_logger: Any = None) -> None:
        super().__init__(opt, start_iter, tb_logger)
        self.file = curves_file(opt)
        forget_after(self.file, start_iter)

    @master_only
    def __call__(self, log_vars: dict[str, Any]) -> None:
        numbers = {name: value for name, value in log_vars.items() if name != "lrs"}
        append(self.file, {**numbers, "lr": log_vars["lrs"][0]})
        if self.tb_logger is not None:
            self.tb_logger.add_scalar("lr", log_vars["lrs"][0], log_vars["iter"])
        super().__call__(log_vars)


def curves_file(opt: Mapping[str, Any]) -> Path:
    """The ``curves.jsonl`` of a training."""
    return Path(opt["path"]["log"]) / "curves.jsonl"


def append(file: Path, record: Mapping[str, Any]) -> None:
    """Append a line of JSON; numbers that are not finite become null, as JSON has none."""
    with file.open("a", encoding="utf-8") as lines:
        lines.write(json.dumps(_finite(record), allow_nan=False) + "\n")


@master_only
def forget_after(file: Path, step: int) -> None:
    """Drop the lines of later steps, which a resumed run repeats, and lines damaged by a crash."""
    if not file.is_file():
        return
    kept, damaged = [], 0
    for line in file.read_text(encoding="utf-8", errors="replace").splitlines():
        step_of_line = _step(line)
        if step_of_line is None:
            damaged += 1
        elif step_of_line <= step:
            kept.append(line + "\n")
    if damaged:
        get_root_logger().warning(f"{file}: {damaged} damaged line{'s' * (damaged > 1)} removed")
    write_text(file, "".join(kept))


def _step(line: str) -> int | None:
    """The step that a line of numbers is of; None if it is damaged."""
    try:
        step = json.loads(line)["iter"]
    except (ValueError, TypeError, KeyError, RecursionError):
        return None
    return step if isinstance(step, int) else None


def centre_crops(output: Tensor, gt: Tensor) -> Tensor:
    """The centres of an output and of its ground truth, side by side: (3, h, 2w) in [0, 1] on the CPU.

    Args:
        output: (1, 3, H, W), about [0, 1].
        gt: The same shape.
    """
    height, width = (min(side, _CROP) for side in output.shape[-2:])
    top, left = (output.shape[-2] - height) // 2, (output.shape[-1] - width) // 2
    both = torch.cat([image[0, :, top : top + height, left : left + width] for image in (output, gt)], dim=-1)
    return both.float().clamp(0, 1).cpu()


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _finite(each) for name, each in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value
