"""Parts of a video, joined without encoding them again, with the sound of the original."""

import heapq
from collections.abc import Iterator
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av

from clit_plugin.utils.atomic_files import replacing
from clit_plugin.utils.errors import UserError
from clit_plugin.video.clip import Clip, opened
from clit_plugin.video.coding import lead_of

FORMATS = {".mp4": "mp4", ".m4v": "mp4", ".mov": "mov", ".mkv": "matroska"}


def check_sound(original: Path, output: Path) -> None:
    """Check, before the work, that the output's format holds the sound of the original.

    Raises:
        UserError: It does not.
    """
    with opened(original) as source:
        codecs = {stream.codec_context.name for stream in source.streams.audio}
    with av.open("nowhere", "w", format=FORMATS[output.suffix.lower()]) as container:
        unknown = sorted(codecs - container.supported_codecs)
    if unknown:
        raise UserError(f"{output}: {output.suffix} holds no sound of {unknown[0]}, as {original} has; write .mkv")


def join(parts: list[Path], clip: Clip, output: Path) -> None:
    """Write the parts' video and the clip's sound, packet by packet.

    Raises:
        UserError: It cannot be written; what was there is left as it was.
    """
    kind = FORMATS[output.suffix.lower()]
    options = {} if kind == "matroska" else {"movflags": "+faststart"}
    with (
        replacing(output) as partial,
        opened(clip.path) as source,
        opened(parts[0]) as first,
        av.open(str(partial), "w", format=kind, options=options) as target,
    ):
        video = target.add_stream_from_template(first.streams.video[0])
        sound = {stream.index: target.add_stream_from_template(stream) for stream in source.streams.audio}
        target.metadata.update(source.metadata)
        streams = [_video(parts, clip.time_base)]
        if sound:
            streams.append(packet for packet in source.demux(*source.streams.audio) if packet.dts is not None)
        for packet in heapq.merge(*streams, key=_seconds):
            packet.stream = video if packet.stream.type == "video" else sound[packet.stream.index]
            try:
                target.mux(packet)
            except av.error.FFmpegError as error:
                raise UserError(f"{output}: cannot be written ({error.strerror})") from error


def _seconds(packet: "av.Packet") -> Fraction:
    return Fraction(packet.dts or 0) * packet.time_base


def _packets(parts: list[Path], time_base: Fraction) -> Iterator["tuple[int, av.Packet]"]:
    """Packets of all parts, as they are decoded, with the times at which they are shown."""
    for part in parts:
        with opened(part) as container:
            for packet in container.demux(video=0):
                if packet.pts is not None:
                    yield round(packet.pts * packet.time_base / time_base) - lead_of(time_base), packet


def _video(parts: list[Path], time_base: Fraction) -> Iterator["av.Packet"]:
    """The same with times of decoding that rise through all parts: those of showing, sorted, and as much earlier as
    the order of frames needs.
    """
    shown = [pts for pts, _ in _packets(parts, time_base)]
    times = sorted(shown)
    rank = {pts: place for place, pts in enumerate(times)}
    early = max(place - rank[pts] for place, pts in enumerate(shown))
    steps = [later - pts for pts, later in pairwise(times)] or [1]
    steps.append(steps[-1])
    before = [times[0] - steps[0] * (early - place) for place in range(early)]
    for (pts, packet), dts in zip(_packets(parts, time_base), before + times, strict=False):
        packet.time_base = time_base
        packet.pts, packet.dts, packet.duration = pts, dts, steps[rank[pts]]
        yield packet
