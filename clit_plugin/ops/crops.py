"""Crops of images, and the crop where two images differ most."""

from typing import NamedTuple

import cv2
import numpy as np
from torch import Tensor

_CROP = 48  # side of the chosen crop


class Crop(NamedTuple):
    """A rectangle in pixels."""

    x: int
    y: int
    width: int
    height: int

    def of(self, image: np.ndarray) -> np.ndarray:
        """The crop of an image (H, W, 3)."""
        return image[self.y : self.y + self.height, self.x : self.x + self.width]

    def __str__(self) -> str:
        return f"{self.x},{self.y},{self.width}x{self.height}"


def worst_crop(hr: Tensor, bicubic: Tensor) -> Crop:
    """The 48x48 crop, smaller in a small image, where the squared error of bicubic interpolation is largest.

    Args:
        hr: (3, H, W).
        bicubic: The same shape.
    """
    error = (hr - bicubic).square().mean(0).numpy()
    side = min(_CROP, *error.shape)
    means = cv2.boxFilter(error.astype(np.float64), -1, (side, side), anchor=(0, 0))
    valid = means[: error.shape[0] - side + 1, : error.shape[1] - side + 1]  # by upper left corner
    y, x = np.unravel_index(int(valid.argmax()), valid.shape)
    return Crop(int(x), int(y), side, side)
