"""Encoding a part of a video as H.264."""

from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av

from clit_plugin.ops.coordinates import Size
from clit_plugin.utils.atomic_files import replacing
from clit_plugin.video.clip import Clip, Frame
from clit_plugin.video.colours import Colours

ENCODER = "libx264"
_LEAD = 10  # seconds added to the times of a part, because NUT shifts streams whose decoding times are negative


@dataclass(frozen=True, kw_only=True)
class Coding:
    """How frames are encoded.

    Attributes:
        size: (H, W), even: two rows and columns share a chroma sample.
        rate: Frames per second, for the encoder's rate control.
        time_base: Unit of ``Frame.pts`` in seconds.
        aspect: Width of a pixel divided by its height; None if unknown.
        colours: Colour space of the file.
        crf: Quality, from 0 (lossless) to 51; 17 is visually close to lossless.
    """

    size: Size
    rate: Fraction
    time_base: Fraction
    aspect: Fraction | None
    colours: Colours
    crf: int

    @classmethod
    def of(cls, clip: Clip, size: Size, *, crf: int) -> "Coding":
        """The coding of a clip at another size."""
        return cls(
            size=size, rate=clip.rate, time_base=clip.time_base, aspect=clip.aspect, colours=clip.colours, crf=crf
        )

    def write(self, path: Path, frames: Iterable[Frame]) -> None:
        """Write frames to a NUT file, a format that keeps their times exactly.

        Raises:
            UserError: It cannot be written; an existing file is left as it was.
        """
        with replacing(path) as partial, av.open(str(partial), "w", format="nut") as container:
            # force-cfr makes the stream state the frame rate instead of the time base; it does not change the times.
            options = {"crf": str(self.crf), "x264-params": "force-cfr=1"}
            stream = container.add_stream(ENCODER, rate=self.rate, options=options)
            stream.height, stream.width = self.size
            stream.pix_fmt = "yuv420p"
            stream.codec_context.time_base = self.time_base
            if self.aspect is not None:
                stream.codec_context.sample_aspect_ratio = self.aspect
            self.colours.tag(stream.codec_context)
            for frame in frames:
                picture = self.colours.to_frame(frame.rgb)
                picture.pts, picture.time_base = frame.pts + lead_of(self.time_base), self.time_base
                container.mux(stream.encode(picture))
            container.mux(stream.encode(None))


def lead_of(time_base: Fraction) -> int:
    """What is added to the times of a part, in units of ``time_base``."""
    return round(_LEAD / time_base)
