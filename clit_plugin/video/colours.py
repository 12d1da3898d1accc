"""Colour spaces of videos: conversion to RGB and back, and the tags that preserve them."""

from typing import NamedTuple

import av
import numpy as np

# The supported matrices of ITU-T H.273: BT.709, FCC, BT.601 (two), SMPTE 240M, BT.2020.
_MATRICES = {1, 4, 5, 6, 7, 9}
_BT709, _SMPTE170M = 1, 6
_HD = (720, 1280)  # for untagged videos of at least this height or width, players assume BT.709
_UNKNOWN = 2
LIMITED, FULL = 1, 2  # luma of 16 to 235, or of 0 to 255


class Colours(NamedTuple):
    """A colour space, by code points of ITU-T H.273.

    Attributes:
        matrix: Matrix coefficients, from RGB to luma and chroma.
        range: ``LIMITED`` or ``FULL``, of the input; the output is always limited.
        primaries: Colour primaries.
        transfer: Transfer characteristics.
    """

    matrix: int
    range: int = LIMITED
    primaries: int = _UNKNOWN
    transfer: int = _UNKNOWN

    @classmethod
    def of(cls, frame: "av.VideoFrame") -> "Colours":
        """The colour space of a frame; without a tag, the matrix depends on the size, as in players."""
        matrix = int(frame.colorspace)
        if matrix not in _MATRICES:
            matrix = _BT709 if frame.height >= _HD[0] or frame.width >= _HD[1] else _SMPTE170M
        full = int(frame.color_range) == FULL or frame.format.name.startswith("yuvj")
        return cls(matrix, FULL if full else LIMITED, int(frame.color_primaries), int(frame.color_trc))

    def to_rgb(self, frame: "av.VideoFrame") -> np.ndarray:
        """Convert a frame to RGB, (H, W, 3) uint8."""
        if frame.format.is_rgb:
            return frame.to_ndarray(format="rgb24")
        rgb = frame.reformat(
            format="rgb24", src_colorspace=self.matrix, src_color_range=self.range, dst_color_range=FULL
        )
        return rgb.to_ndarray()

    def to_frame(self, rgb: np.ndarray) -> "av.VideoFrame":
        """Convert RGB, (H, W, 3) uint8, to a frame in yuv420p."""
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(rgb), format="rgb24").reformat(
            format="yuv420p", dst_colorspace=self.matrix, src_color_range=FULL, dst_color_range=LIMITED
        )
        self.tag(frame)
        return frame

    def tag(self, target: "av.VideoFrame | av.VideoCodecContext") -> None:
        """Set the colour tags of a frame or an encoder."""
        target.colorspace, target.color_range = self.matrix, LIMITED
        target.color_primaries, target.color_trc = self.primaries, self.transfer
