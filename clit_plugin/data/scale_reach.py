"""Which scales the images of a training set allow: the smallest image of a batch caps the batch's scale (paper 4.1)."""

import math
from collections.abc import Mapping

import numpy as np

from clit_plugin.utils.errors import UserError

_LEAST = 1.2
_NAMED = 5


class ScaleReach:
    """The largest scale of every image: its shorter side over that of the LR crop.

    Args:
        sizes: (H, W) of every image, by the name that a message gives it.
        lq_size: Side of the LR crop.
        most: The largest scale that the schedule asks for.
    """

    def __init__(self, sizes: Mapping[str, tuple[int, int]], *, lq_size: int, most: float) -> None:
        self.sizes, self.lq_size, self.most = sizes, lq_size, most
        self.reach = {name: min(size) / lq_size for name, size in sizes.items()}

    def check(self) -> None:
        """Refuse images that can hardly be enlarged at all, and so would hold back every batch that they are in.

        Raises:
            UserError: Some do not reach x1.2, or the largest scale asked for where that is less.
        """
        least = min(_LEAST, self.most)
        names = [name for name, reach in self.reach.items() if reach < least]
        if not names:
            return
        told = ", ".join(f"{name} ({self.sizes[name][0]}x{self.sizes[name][1]})" for name in names[:_NAMED])
        more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
        raise UserError(
            f"{len(names)} of {len(self.reach)} images are too small for x{least:g}, which takes "
            f"{math.ceil(least * self.lq_size - 1e-9)} pixels a side with lq_size {self.lq_size}: {told}{more}; "
            "remove them, or choose a smaller lq_size"
        )

    def told(self, batch_size: int) -> str | None:
        """How many images cannot reach the largest scale, and what that does to the batches; None where all can.

        Args:
            batch_size: Images of a batch, of which the smallest decides.
        """
        small = [name for name, reach in self.reach.items() if reach < self.most]
        if not small:
            return None
        smallest = min(small, key=lambda name: self.reach[name])
        held_back = 1 - (1 - len(small) / len(self.reach)) ** batch_size
        # A batch's cap is at least c where all of its images reach c: for half of the batches, this quantile.
        cap = float(np.quantile(list(self.reach.values()), 1 - 0.5 ** (1 / batch_size), method="lower"))
        half = f", and half of the batches end at x{cap:.2f} or less" if cap < self.most else ""
        return (
            f"{len(small)} of {len(self.reach)} training images are too small for x{self.most:g}, which takes "
            f"{math.ceil(self.most * self.lq_size - 1e-9)} pixels a side with lq_size {self.lq_size}; the smallest, "
            f"{smallest} ({self.sizes[smallest][0]}x{self.sizes[smallest][1]}), ends at x{self.reach[smallest]:.2f}. "
            f"A batch's scale is capped by its smallest image: {held_back:.0%} of the batches of {batch_size} hold one "
            f"of these{half}"
        )
