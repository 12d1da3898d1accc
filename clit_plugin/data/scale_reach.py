"""Which scales the images of a training set allow: the smallest image of a batch caps the batch's scale (paper 4.1)."""

import math
from collections.abc import Mapping

import numpy as np

from clit_plugin.ops.sizes import ROUNDING, Size, scale_label, wxh
from clit_plugin.utils.errors import UserError

_MIN_SCALE = 1.2
_MAX_NAMES = 5


class ScaleReach:
    """The largest scale of every image: its shorter side over that of the LR crop.

    Args:
        sizes: (H, W) of every image, by the name that messages give it.
        lq_size: Side of the LR crop.
        max_scale: The largest scale of the schedule.
    """

    def __init__(self, sizes: Mapping[str, Size], *, lq_size: int, max_scale: float) -> None:
        self.sizes, self.lq_size, self.max_scale = sizes, lq_size, max_scale
        self.reach = {name: min(size) / lq_size for name, size in sizes.items()}

    def check(self) -> None:
        """Refuse images that allow hardly any upscaling: they would cap every batch that they are in.

        Raises:
            UserError: Some do not reach x1.2, or the largest scale of the schedule if that is smaller.
        """
        min_scale = min(_MIN_SCALE, self.max_scale)
        names = [name for name, reach in self.reach.items() if reach < min_scale]
        if not names:
            return
        listed = ", ".join(f"{name} ({wxh(self.sizes[name])})" for name in names[:_MAX_NAMES])
        more = f" and {len(names) - _MAX_NAMES} more" if len(names) > _MAX_NAMES else ""
        raise UserError(
            f"{len(names)} of {len(self.reach)} images are too small for x{scale_label(min_scale)}, which needs "
            f"sides of {self._side(min_scale)} pixels with lq_size {self.lq_size}: {listed}{more}; "
            "remove them, or choose a smaller lq_size"
        )

    def summary(self, batch_size: int) -> str | None:
        """How many images do not reach the largest scale, and how that affects batches; None if all do.

        Args:
            batch_size: Images per batch, the smallest of which caps the scale.
        """
        small = [name for name, reach in self.reach.items() if reach < self.max_scale]
        if not small:
            return None
        smallest = min(small, key=lambda name: self.reach[name])
        capped = 1 - (1 - len(small) / len(self.reach)) ** batch_size
        # A batch's cap is at least c if all of its images reach c: for half of the batches, this quantile.
        median = float(np.quantile(list(self.reach.values()), 1 - 0.5 ** (1 / batch_size), method="lower"))
        half = f", and half of the batches are capped at x{median:.2f} or less" if median < self.max_scale else ""
        return (
            f"{len(small)} of {len(self.reach)} training images are too small for x{scale_label(self.max_scale)}, "
            f"which needs sides of {self._side(self.max_scale)} pixels with lq_size {self.lq_size}; the smallest, "
            f"{smallest} ({wxh(self.sizes[smallest])}), allows x{self.reach[smallest]:.2f}. A batch's scale is "
            f"capped by its smallest image: {capped:.0%} of the batches of {batch_size} contain one of these{half}"
        )

    def _side(self, scale: float) -> int:
        """Pixels that a side needs for a scale."""
        return math.ceil(scale * self.lq_size - ROUNDING)
