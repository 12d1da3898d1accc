"""What weights say of themselves: for which scales and which kind of LR images they were trained."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clit_plugin.ops.coordinates import Size
from clit_plugin.utils.errors import UserError

_TOLD = {
    "pil": "bicubic reduction (Pillow's kernel)",
    "matlab": "bicubic reduction (MATLAB's kernel)",
    "realistic": "blur, noise and JPEG of photographs",
}
_SLACK = 1.005  # of rounding to whole pixels


@dataclass(frozen=True, kw_only=True)
class About:
    """``about`` of a weights file, .pth or .safetensors, as far as it says; more may stand there.

    Attributes:
        name: What the weights are called.
        scale_range: Scales of the training, (least, most).
        degradation: How its LR images were made: ``pil``, ``matlab``, ``realistic`` or the name of another way.
        licence: Of the weights.
    """

    name: str | None = None
    scale_range: tuple[float, float] | None = None
    degradation: str | None = None
    licence: str | None = None

    @classmethod
    def read(cls, checkpoint: Mapping[str, Any], path: str | Path) -> "About":
        """What a checkpoint says.

        Args:
            checkpoint: From ``read_checkpoint``.
            path: Where it is from, for errors.

        Raises:
            UserError: It says something of another kind.
        """
        given = checkpoint.get("about", {})
        if not isinstance(given, Mapping):
            raise UserError(f"{path}: about: expected a mapping, got {type(given).__name__}")
        degradation = given.get("degradation")
        if isinstance(degradation, Mapping):  # a way with options
            degradation = degradation.get("type")
        texts = {"name": given.get("name"), "degradation": degradation, "licence": given.get("licence")}
        for key, value in texts.items():
            if value is not None and not isinstance(value, str):
                raise UserError(f"{path}: about.{key}: expected text, got {value!r:.60}")
        return cls(scale_range=_scale_range(given.get("scale_range"), path), **texts)

    def told(self) -> str:
        """In a few words, as ``for x1 to x16 and images made by ...``; empty where nothing is known."""
        parts = []
        if self.scale_range is not None:
            parts.append(f"x{self.scale_range[0]:g} to x{self.scale_range[1]:g}")
        if self.degradation is not None:
            parts.append(f"images made by {_TOLD.get(self.degradation, self.degradation)}")
        return f"for {' and '.join(parts)}" if parts else ""

    def warning(self, lq: Size, size: Size) -> str | None:
        """A line where an output of (H, W) ``size`` of an image of ``lq`` is outside the scales of the training."""
        if self.scale_range is None:
            return None
        scales = [out / n for out, n in zip(size, lq, strict=True)]
        least, most = self.scale_range
        if min(scales) * _SLACK >= least and max(scales) <= most * _SLACK:
            return None
        scale = max(scales) if max(scales) > most * _SLACK else min(scales)
        return f"x{scale:.3g} is outside the scales of the training, x{least:g} to x{most:g}; expect less of it"


def _scale_range(given: Any, path: str | Path) -> tuple[float, float] | None:
    if given is None:
        return None
    numbers = isinstance(given, (list, tuple)) and len(given) == 2 and all(type(n) in (int, float) for n in given)
    if not numbers or not all(map(math.isfinite, given)) or not 0 < given[0] <= given[1]:
        raise UserError(f"{path}: about.scale_range: expected two numbers, least and most, got {given!r:.60}")
    return float(given[0]), float(given[1])
