"""Reading a video file: its properties, and its frames, upright and in RGB."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import av
import numpy as np
from av.stream import Disposition
from av.video.stream import VideoStream

from clit_plugin.ops.coordinates import Size
from clit_plugin.utils.console import warn
from clit_plugin.utils.errors import UserError
from clit_plugin.utils.output_files import reason
from clit_plugin.video.colours import Colours


class Frame(NamedTuple):
    """A frame: its presentation time in units of ``Clip.time_base``, and its pixels, (H, W, 3) uint8 RGB."""

    pts: int
    rgb: np.ndarray


@dataclass(frozen=True, kw_only=True)
class Clip:
    """The properties of a video.

    Attributes:
        path: The file.
        size: (H, W) of an upright frame.
        rate: Frames per second; the mean if it varies.
        time_base: Unit of ``Frame.pts`` in seconds.
        frames: Approximate number of frames; None if the file does not state it.
        turns: Counter-clockwise quarter turns that make a frame upright.
        aspect: Width of an upright pixel divided by its height; None if unknown.
        colours: Colour space of the frames.
    """

    path: Path
    size: Size
    rate: Fraction
    time_base: Fraction
    frames: int | None
    turns: int
    aspect: Fraction | None
    colours: Colours


@contextmanager
def opened(path: Path) -> Iterator["av.container.InputContainer"]:
    """Open a video file for reading.

    Raises:
        UserError: It does not exist, or is not a video.
    """
    try:
        with av.open(str(path)) as container:
            yield container
    except av.error.FFmpegError as error:
        if isinstance(error, OSError) and error.errno in (1, 2, 13, 21):  # EPERM, ENOENT, EACCES, EISDIR
            raise UserError(f"{path}: cannot be read ({reason(error)})") from error
        raise UserError(f"{path}: not a readable video ({error.strerror})") from error


def read_clip(path: Path) -> Clip:
    """Read a video's properties from its header and first frame.

    Raises:
        UserError: It does not exist, is not a video, has no frames, or is interlaced.
    """
    with opened(path) as container:
        stream = _stream(container, path)
        frame = next(_decoded(container, stream, path), None)
        if frame is None:
            raise UserError(f"{path}: no frame can be decoded")
        if frame.interlaced_frame:
            raise UserError(f"{path}: is interlaced; deinterlace it first, for example with ffmpeg -vf bwdif")
        _warn_of_losses(container, frame, path)
        rate = stream.average_rate or stream.guessed_rate or Fraction(25)
        seconds = None
        if stream.duration is not None and stream.time_base is not None:
            seconds = stream.duration * stream.time_base
        elif container.duration is not None:
            seconds = Fraction(container.duration, av.time_base)
        size, turns, aspect = (frame.height, frame.width), round(frame.rotation / 90) % 4, stream.sample_aspect_ratio
        if turns % 2:
            size, aspect = size[::-1], 1 / aspect if aspect else None
        return Clip(
            path=path,
            size=size,
            rate=Fraction(rate),
            time_base=Fraction(stream.time_base or 1 / rate),
            frames=stream.frames or (max(1, round(seconds * rate)) if seconds else None),
            turns=turns,
            aspect=aspect or None,
            colours=Colours.of(frame),
        )


def frames_of(clip: Clip, *, skip: int = 0) -> Iterator[Frame]:
    """The frames after the first ``skip``, which are decoded as well: not every file supports seeking by frame.

    Raises:
        UserError: The size changes within the video.
    """
    last, step = None, max(1, round(1 / (clip.rate * clip.time_base)))
    with opened(clip.path) as container:
        stream = _stream(container, clip.path)
        stream.thread_type = "AUTO"
        for number, frame in enumerate(_decoded(container, stream, clip.path)):
            pts = frame.pts
            if pts is None or (last is not None and pts <= last):  # a damaged file, or one without timestamps
                pts = 0 if last is None else last + step
            last = pts
            if number < skip:
                continue
            rgb = np.rot90(clip.colours.to_rgb(frame), clip.turns)
            if rgb.shape[:2] != clip.size:
                raise UserError(f"{clip.path}: the frame size changes at frame {number + 1}; split the video there")
            yield Frame(pts, rgb)


def _warn_of_losses(container: "av.container.InputContainer", frame: "av.VideoFrame", path: Path) -> None:
    components = frame.format.components
    if any(component.bits > 8 for component in components):
        warn(f"{path}: has more than 8 bits per sample; the result has 8")
    if any(component.is_alpha for component in components):
        warn(f"{path}: has transparency, which the result lacks")
    if container.streams.subtitles:
        warn(f"{path}: has subtitles, which the result lacks")


def _stream(container: "av.container.InputContainer", path: Path) -> VideoStream:
    """The first video stream that is not a cover picture."""
    for stream in container.streams.video:
        if not stream.disposition & Disposition.attached_pic:
            return stream
    raise UserError(f"{path}: has no video stream")


def _decoded(container: "av.container.InputContainer", stream: VideoStream, path: Path) -> Iterator["av.VideoFrame"]:
    """Decoded frames; damaged ones are skipped, as players do."""
    damaged = False
    for packet in container.demux(stream):
        try:
            frames = packet.decode()
        except av.error.InvalidDataError:
            if not damaged:
                warn(f"{path}: is damaged; frames that cannot be decoded are skipped")
            damaged = True
            continue
        yield from frames
