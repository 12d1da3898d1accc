"""Evaluation protocols: which channel is compared, and how much of the border is not (LIIF, LTE, CLIT)."""

import math
from dataclasses import dataclass
from typing import Any

from clit_plugin.utils.errors import UserError


@dataclass(frozen=True, kw_only=True)
class Protocol:
    """How an image is scored.

    Attributes:
        name: What is printed beside every number.
        y_channel: Whether luma alone is compared (ITU-R BT.601, 16-235), or all of RGB.
        extra_shave: Pixels cut from every border beyond the scale.
    """

    name: str
    y_channel: bool
    extra_shave: int

    @staticmethod
    def named(name: str) -> "Protocol":
        """``div2k``: RGB, shave scale + 6; ``benchmark``: Y, shave scale.

        Raises:
            UserError: Any other name.
        """
        try:
            return _PROTOCOLS[name]
        except KeyError:
            raise UserError(f"protocol: expected one of {', '.join(_PROTOCOLS)}, got {name!r}") from None

    def shave(self, scale: float) -> int:
        """Pixels cut from every border; of a fractional scale, or one per axis, the next integer of the larger."""
        return math.ceil(scale - 1e-6) + self.extra_shave

    def metric_options(self, scale: float) -> dict[str, Any]:
        """The arguments by which BasicSR's metrics, and ours, know the protocol."""
        return {"crop_border": self.shave(scale), "test_y_channel": self.y_channel}

    def __str__(self) -> str:
        channel = "Y" if self.y_channel else "RGB"
        return f"{self.name}: {channel}, shave scale{f' + {self.extra_shave}' if self.extra_shave else ''}"


_PROTOCOLS = {
    "div2k": Protocol(name="div2k", y_channel=False, extra_shave=6),
    "benchmark": Protocol(name="benchmark", y_channel=True, extra_shave=0),
}
