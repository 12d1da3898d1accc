"""Evaluation protocols: which channels are compared, and how many border pixels are cropped (LIIF, LTE, CLIT)."""

import math
from dataclasses import dataclass
from typing import Any, Literal

from clit_plugin.utils.errors import UserError

ProtocolName = Literal["div2k", "benchmark"]
# A scale this little above a whole number shaves that number. Larger than ops.sizes.ROUNDING, for scales that are
# written with six decimals.
_EXCESS = 1e-6


@dataclass(frozen=True, kw_only=True)
class EvaluationProtocol:
    """How an image is scored.

    Attributes:
        name: Printed beside every number.
        y_channel: Whether only luma is compared (ITU-R BT.601, 16-235), or RGB.
        extra_shave: Pixels cropped from every border in addition to the scale.
    """

    name: str
    y_channel: bool
    extra_shave: int

    @staticmethod
    def named(name: str) -> "EvaluationProtocol":
        """``div2k``: RGB, shave scale + 6; ``benchmark``: Y, shave scale.

        Raises:
            UserError: Any other name.
        """
        for known, protocol in PROTOCOLS.items():
            if name == known:
                return protocol
        raise UserError(f"protocol: expected one of {', '.join(PROTOCOLS)}, got {name!r}")

    @property
    def channel(self) -> str:
        """``Y`` or ``RGB``."""
        return "Y" if self.y_channel else "RGB"

    def shave(self, scale: float) -> int:
        """Pixels cut from every border: the scale, rounded up, and ``extra_shave``.

        Args:
            scale: Where the axes differ, the larger one.
        """
        return math.ceil(scale - _EXCESS) + self.extra_shave

    def metric_options(self, scale: float) -> dict[str, Any]:
        """The protocol as arguments of BasicSR's metrics, and of ours."""
        return {"crop_border": self.shave(scale), "test_y_channel": self.y_channel}

    def __str__(self) -> str:
        return f"{self.name}: {self.channel}, shave scale{f' + {self.extra_shave}' if self.extra_shave else ''}"


PROTOCOLS: dict[ProtocolName, EvaluationProtocol] = {
    "div2k": EvaluationProtocol(name="div2k", y_channel=False, extra_shave=6),
    "benchmark": EvaluationProtocol(name="benchmark", y_channel=True, extra_shave=0),
}


def usual_protocol(dataset: str) -> ProtocolName:
    """The protocol by which LIIF, LTE and CLIT score a data set: ``div2k`` for DIV2K, ``benchmark`` for all others."""
    return "div2k" if dataset.upper().startswith("DIV2K") else "benchmark"
