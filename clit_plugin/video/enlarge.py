"""A clip enlarged frame by frame, in parts."""

from collections.abc import Callable, Iterator
from itertools import chain, islice

import numpy as np

from clit_plugin.archs.arbitrary_scale_arch import ArbitraryScaleArch
from clit_plugin.inference.apply import UpscaleOptions, strips_of
from clit_plugin.ops.coordinates import Size
from clit_plugin.ops.pixels import to_samples, to_tensor
from clit_plugin.video.clip import Clip, Frame, frames_of
from clit_plugin.video.coding import Coding
from clit_plugin.video.parts import FRAMES, Parts


def make_parts(
    clip: Clip,
    net: ArbitraryScaleArch,
    coding: Coding,
    parts: Parts,
    *,
    options: UpscaleOptions,
    progress: Callable[[int], object],
) -> None:
    """Make the parts that are missing.

    Args:
        clip: What to enlarge.
        net: On any device.
        coding: How parts are encoded; its size is that of the output.
        parts: Where they go, and which of them there are.
        options: How frames are upscaled.
        progress: Called with the number of frames done since the last call.
    """
    frames = frames_of(clip, skip=FRAMES * len(parts.finished))
    for first in frames:
        some = chain([first], islice(frames, FRAMES - 1))
        coding.write(parts.next(), _upscaled(some, net, coding.size, str(clip.path), options, progress))


def _upscaled(
    frames: Iterator[Frame],
    net: ArbitraryScaleArch,
    size: Size,
    name: str,
    options: UpscaleOptions,
    progress: Callable[[int], object],
) -> Iterator[Frame]:
    last: Frame | None = None
    for frame in frames:
        if last is None or not np.array_equal(frame.rgb, last.rgb):  # drawings are often shown twice
            image = np.empty((*size, 3), np.uint8)
            top = 0
            for strip in strips_of(net, to_tensor(frame.rgb), size, name=name, options=options, kept=3):
                image[top : top + strip.shape[1]] = to_samples(strip)
                top += strip.shape[1]
        last = frame
        yield Frame(frame.pts, image)
        progress(1)
