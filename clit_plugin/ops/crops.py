"""Rectangles of images, and the one where two images differ most."""

from typing import NamedTuple

import cv2
import numpy as np
from torch import Tensor

_CROP = 48  # side of the crop that is chosen


class Crop(NamedTuple):
    """A rectangle in pixels."""

    x: int
    y: int
    width: int
    height: int

    def of(self, image: np.ndarray) -> np.ndarray:
        """The part of an image (H, W, 3)."""
        return image[self.y : self.y + self.height, self.x : self.x + self.width]

    def __str__(self) -> str:
        return f"{self.x},{self.y},{self.width}x{self.height}"


def worst_crop(hr: Tensor, bicubic: Tensor) -> Crop:
    """The square of 48 pixels, or less in a small image, where bicubic interpolation's squared error is largest."""
    error = (hr - bicubic).square().mean(0).numpy()
    side = min(_CROP, *error.shape)
    means = cv2.boxFilter(error.astype(np.float64), -1, (side, side), anchor=(0, 0))
    valid = means[: error.shape[0] - side + 1, : error.shape[1] - side + 1]  # by upper left corner
    y, x = np.unravel_index(int(valid.argmax()), valid.shape)
    return Crop(int(x), int(y), side, side)
