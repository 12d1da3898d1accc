"""What the numbers of a video mean as colours, so that they mean the same in the larger one."""

from typing import NamedTuple

import av
import numpy as np

_MATRICES = (
    1,
    4,
    5,
    6,
    7,
    9,
)  # of ITU-T H.273 those that are converted: BT.709, FCC, BT.601 twice, SMPTE 240M, BT.2020
_BT709, _SMPTE170M = 1, 6
_HD = (720, 1280)  # from this height or width on players take BT.709 where a file does not tell
_UNKNOWN = 2
LIMITED, FULL = 1, 2  # luma of 16 to 235, or of 0 to 255


class Colours(NamedTuple):
    """Code points of ITU-T H.273, and the range.

    Attributes:
        matrix: From RGB to luma and chroma.
        range: ``LIMITED`` or ``FULL``, of what is read; what is written has the limited one.
        primaries: Of RGB.
        transfer: From light to RGB.
    """

    matrix: int
    range: int = LIMITED
    primaries: int = _UNKNOWN
    transfer: int = _UNKNOWN

    @classmethod
    def of(cls, frame: "av.VideoFrame") -> "Colours":
        """What a frame tells; its size decides on the matrix where it does not, as with players."""
        matrix = int(frame.colorspace)
        if matrix not in _MATRICES:
            matrix = _BT709 if frame.height >= _HD[0] or frame.width >= _HD[1] else _SMPTE170M
        full = int(frame.color_range) == FULL or frame.format.name.startswith("yuvj")
        return cls(matrix, FULL if full else LIMITED, int(frame.color_primaries), int(frame.color_trc))

    def to_rgb(self, frame: "av.VideoFrame") -> np.ndarray:
        """(H, W, 3) uint8."""
        if frame.format.is_rgb:
            return frame.to_ndarray(format="rgb24")
        rgb = frame.reformat(
            format="rgb24", src_colorspace=self.matrix, src_color_range=self.range, dst_color_range=FULL
        )
        return rgb.to_ndarray()

    def to_frame(self, rgb: np.ndarray) -> "av.VideoFrame":
        """A frame of 8 bits, yuv420p, of (H, W, 3) uint8."""
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(rgb), format="rgb24").reformat(
            format="yuv420p", dst_colorspace=self.matrix, src_color_range=FULL, dst_color_range=LIMITED
        )
        self.tell(frame)
        return frame

    def tell(self, it: "av.VideoFrame | av.VideoCodecContext") -> None:
        """State them in a frame or an encoder."""
        it.colorspace, it.color_range = self.matrix, LIMITED
        it.color_primaries, it.color_trc = self.primaries, self.transfer
