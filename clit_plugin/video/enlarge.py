"""Upscaling a clip frame by frame, in parts."""

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
    """Make the missing parts.

    Args:
        clip: The video to upscale.
        net: The network, on any device.
        coding: How parts are encoded; its size is the output's.
        parts: The folder of the parts, some of which may be finished.
        options: How frames are upscaled.
        progress: Called with the number of frames done since the last call.
    """
    frames = frames_of(clip, skip=FRAMES * len(parts.finished))
    for first in frames:
        part = chain([first], islice(frames, FRAMES - 1))
        coding.write(parts.next(), _upscaled(part, net, coding.size, str(clip.path), options, progress))


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
        if last is None or not np.array_equal(frame.rgb, last.rgb):  # animations often repeat frames
            image = np.empty((*size, 3), np.uint8)
            top = 0
            for strip in strips_of(net, to_tensor(frame.rgb), size, name=name, options=options, caller_bytes=3):
                image[top : top + strip.shape[1]] = to_samples(strip)
                top += strip.shape[1]
        last = frame
        yield Frame(frame.pts, image)
        progress(1)
