"""Metadata of a weights file: the scales and the kind of LR images that the weights were trained for."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clit_plugin.archs.safetensors_file import check_scale_range
from clit_plugin.inference.shipped import is_shipped
from clit_plugin.ops.sizes import Size, scale_label
from clit_plugin.utils.errors import UserError

_DEGRADATIONS = {
    "pil": "bicubic downsampling (Pillow's kernel)",
    "matlab": "bicubic downsampling (MATLAB's kernel)",
    "realistic": "blur, noise and JPEG compression, as in photographs",
}
_SLACK = 1.005  # for sizes rounded to whole pixels


@dataclass(frozen=True, kw_only=True)
class About:
    """The ``about`` section of a weights file. What the file does not state is None; other keys are ignored.

    Attributes:
        name: Name of the weights.
        scale_range: Lowest and highest scale of the training.
        degradation: How the LR images of the training were made: ``pil``, ``matlab``, ``realistic`` or another name.
        licence: Licence of the weights.
    """

    name: str | None = None
    scale_range: tuple[float, float] | None = None
    degradation: str | None = None
    licence: str | None = None

    @classmethod
    def read(cls, checkpoint: Mapping[str, Any], path: str | Path) -> "About":
        """The metadata of a checkpoint.

        Args:
            checkpoint: From ``read_checkpoint``.
            path: The checkpoint's file, for errors.

        Raises:
            UserError: A value of the wrong type, or a bad scale range.
        """
        about = checkpoint.get("about", {})
        if not isinstance(about, Mapping):
            raise UserError(f"{path}: about: expected a mapping, got {type(about).__name__}")
        degradation = about.get("degradation")
        if isinstance(degradation, Mapping):  # {type: realistic, ...}
            degradation = degradation.get("type")
        texts = {"name": about.get("name"), "degradation": degradation, "licence": about.get("licence")}
        for key, value in texts.items():
            if value is not None and not isinstance(value, str):
                raise UserError(f"{path}: about.{key}: expected text, got {value!r:.60}")
        if about.get("scale_range") is None:
            return cls(**texts)
        low, high = check_scale_range(about["scale_range"], f"{path}: about.scale_range")
        return cls(scale_range=(low, high), **texts)

    def summary(self) -> str:
        """A phrase, ``for x1 to x16 and images made by ...``; empty if the file states neither."""
        parts = []
        if self.scale_range is not None:
            low, high = map(scale_label, self.scale_range)
            parts.append(f"x{low} to x{high}")
        if self.degradation is not None:
            parts.append(f"images made by {_DEGRADATIONS.get(self.degradation, self.degradation)}")
        return f"for {' and '.join(parts)}" if parts else ""

    def line(self, path: str | Path) -> str | None:
        """A line that names the weights of ``path`` and says what they are trained for; None if that is not stated."""
        if not (summary := self.summary()):
            return None
        return f"Weights: {self.name or path}{' of the package' if is_shipped(path) else ''}, trained {summary}"

    def warning(self, lq: Size, size: Size) -> str | None:
        """A warning if upscaling an image of size ``lq`` (H, W) to ``size`` is outside the training scales, or None."""
        if self.scale_range is None:
            return None
        scales = [out / n for out, n in zip(size, lq, strict=True)]
        low, high = self.scale_range
        if min(scales) * _SLACK >= low and max(scales) <= high * _SLACK:
            return None
        scale = max(scales) if max(scales) > high * _SLACK else min(scales)
        trained = f"x{scale_label(low)} to x{scale_label(high)}"
        return f"x{scale:.3g} is outside the training scales, {trained}; quality may be lower"
