"""Joining the parts of a video, without re-encoding, and adding the sound of the original."""

import heapq
from collections.abc import Iterator
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
from av.audio.stream import AudioStream

from clit_plugin.utils.atomic_files import replacing
from clit_plugin.utils.errors import UserError
from clit_plugin.video.clip import Clip, opened
from clit_plugin.video.coding import lead_of

FORMATS = {".mp4": "mp4", ".m4v": "mp4", ".mov": "mov", ".mkv": "matroska"}


def check_sound(original: Path, output: Path) -> None:
    """Raise UserError if the output's format cannot hold the sound of the original."""
    with opened(original) as source:
        codecs = {stream.codec_context.name for stream in source.streams.audio}
    with av.open("nowhere", "w", format=FORMATS[output.suffix.lower()]) as container:
        unknown = sorted(codecs - container.supported_codecs)
    if unknown:
        raise UserError(f"{output}: {output.suffix} cannot hold the {unknown[0]} sound of {original}; write .mkv")


def join(parts: list[Path], clip: Clip, output: Path) -> None:
    """Copy the packets of the parts' video and of the clip's sound to one file.

    Raises:
        UserError: It cannot be written; an existing file is left as it was.
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
        sound = {stream.index: _copied(stream, target) for stream in source.streams.audio}
        target.metadata.update(source.metadata)
        target.set_chapters(source.chapters())
        streams = [_video(parts, clip)]
        if sound:
            streams.append(packet for packet in source.demux(*source.streams.audio) if packet.dts is not None)
        for packet in heapq.merge(*streams, key=_seconds):
            packet.stream = video if packet.stream.type == "video" else sound[packet.stream.index]
            try:
                target.mux(packet)
            except av.error.FFmpegError as error:
                raise UserError(f"{output}: cannot be written ({error.strerror})") from error


def _copied(stream: "AudioStream", target: "av.container.OutputContainer") -> "AudioStream":
    """A stream like this one, of the same name and language, and played by default or not as in the original."""
    copy = target.add_stream_from_template(stream)
    copy.metadata.update({key: value for key, value in stream.metadata.items() if key in ("language", "title")})
    copy.disposition = stream.disposition
    return copy


def _seconds(packet: "av.Packet") -> Fraction:
    return Fraction(packet.dts or 0) * packet.time_base


def _packets(parts: list[Path], time_base: Fraction) -> Iterator["tuple[int, av.Packet]"]:
    """Presentation time and packet, in decoding order, of all parts."""
    for part in parts:
        with opened(part) as container:
            for packet in container.demux(video=0):
                if packet.pts is not None:
                    yield round(packet.pts * packet.time_base / time_base) - lead_of(time_base), packet


def _video(parts: list[Path], clip: Clip) -> Iterator["av.Packet"]:
    """The packets of all parts, with decoding times that increase throughout.

    These are the sorted presentation times, delayed by as many frames as the reordering of frames needs.
    """
    time_base = clip.time_base
    pts_list = [pts for pts, _ in _packets(parts, time_base)]
    times = sorted(pts_list)
    rank = {pts: index for index, pts in enumerate(times)}
    delay = max(index - rank[pts] for index, pts in enumerate(pts_list))
    durations = [later - pts for pts, later in pairwise(times)] or [max(1, round(1 / (clip.rate * time_base)))]
    durations.append(durations[-1])
    before = [times[0] - durations[0] * (delay - index) for index in range(delay)]
    for (pts, packet), dts in zip(_packets(parts, time_base), before + times, strict=False):
        packet.time_base = time_base
        packet.pts, packet.dts, packet.duration = pts, dts, durations[rank[pts]]
        yield packet
