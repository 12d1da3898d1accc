"""A part of a video, encoded as H.264."""

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
_LEAD = 10  # seconds that the times of a part are later: the format moves what would be decoded before 0


@dataclass(frozen=True, kw_only=True)
class Coding:
    """How frames become a file.

    Attributes:
        size: (H, W), even: two rows and columns share a sample of chroma.
        rate: Frames a second, by which the encoder plans.
        time_base: Of ``Frame.pts``.
        aspect: Of a pixel.
        colours: What its numbers mean.
        crf: Quality, 0 lossless to 51; 17 looks like the original at a glance.
    """

    size: Size
    rate: Fraction
    time_base: Fraction
    aspect: Fraction | None
    colours: Colours
    crf: int

    @classmethod
    def of(cls, clip: Clip, size: Size, *, crf: int) -> "Coding":
        """Of a clip at another size."""
        return cls(
            size=size, rate=clip.rate, time_base=clip.time_base, aspect=clip.aspect, colours=clip.colours, crf=crf
        )

    def write(self, path: Path, frames: Iterable[Frame]) -> None:
        """Write frames to a file of the NUT format, which keeps their times exactly.

        Raises:
            UserError: It cannot be written; what was there is left as it was.
        """
        with replacing(path) as partial, av.open(str(partial), "w", format="nut") as container:
            # force-cfr: the stream itself states the frame rate, and not the time base; times are kept all the same.
            options = {"crf": str(self.crf), "x264-params": "force-cfr=1"}
            stream = container.add_stream(ENCODER, rate=self.rate, options=options)
            stream.height, stream.width = self.size
            stream.pix_fmt = "yuv420p"
            stream.codec_context.time_base = self.time_base
            if self.aspect is not None:
                stream.codec_context.sample_aspect_ratio = self.aspect
            self.colours.tell(stream.codec_context)
            for frame in frames:
                picture = self.colours.to_frame(frame.rgb)
                picture.pts, picture.time_base = frame.pts + lead_of(self.time_base), self.time_base
                container.mux(stream.encode(picture))
            container.mux(stream.encode(None))


def lead_of(time_base: Fraction) -> int:
    """How much later the times of a part are, in ``time_base``."""
    return round(_LEAD / time_base)
