"""Convolutions of a tile whose margin serves as context only.

What a margin no longer influences need not be computed: every convolution without padding drops a pixel of it. A side
whose margin is narrower than the receptive field is one where the image ends: it keeps its zero padding.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch.nn.functional as F
from torch import Tensor, nn


class Margins(NamedTuple):
    """Pixels at each side of a tile that are given as context only."""

    left: int = 0
    right: int = 0
    top: int = 0
    bottom: int = 0

    def crop(self, x: Tensor) -> Tensor:
        """(..., H, W) without the margins, a view."""
        height, width = x.shape[-2:]
        return x[..., self.top : height - self.bottom, self.left : width - self.right]

    def take(self, pixels: int) -> "Margins":
        """So many pixels of those sides that have them, and none of the others."""
        return Margins(*(pixels if margin >= pixels else 0 for margin in self))

    def without(self, dropped: "Margins") -> "Margins":
        """What is left once some are dropped."""
        return Margins(*(margin - gone for margin, gone in zip(self, dropped, strict=True)))


NO_MARGINS = Margins()


def convolve_inside(conv: nn.Conv2d, x: Tensor, wide: Margins) -> Tensor:
    """A 3x3 convolution with padding 1; a side that has a margin in ``wide`` loses a pixel instead of being padded."""
    if not any(wide):
        return conv(x)
    padding = [0 if margin else 1 for margin in wide]
    return F.conv2d(F.pad(x, padding) if any(padding) else x, conv.weight, conv.bias)


def encode_inside(encoder: nn.Module, x: Tensor, margins: Margins) -> Tensor:
    """``encoder(x)`` without the margins; without gradients.

    An encoder may have a method ``inside(x, margins)`` that computes this in fewer operations.
    """
    inside: Callable[[Tensor, Margins], Tensor] | None = getattr(encoder, "inside", None)
    return margins.crop(encoder(x)) if inside is None else inside(x, margins)
