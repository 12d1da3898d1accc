"""Small videos for tests."""

from fractions import Fraction

import av
import numpy as np

RATE = Fraction(30000, 1001)


def pictures(count, size=(24, 32)):
    """Smooth frames, (H, W, 3) uint8, all different, with a bright top left corner."""
    y, x = np.mgrid[: size[0], : size[1]] / max(size)
    waves = [np.stack([1 - x, 1 - y, 0.5 + 0.3 * np.sin(5 * x + number)], -1) for number in range(count)]
    return [(255 * wave).round().astype(np.uint8) for wave in waves]


def write_clip(
    path,
    frames,
    *,
    times=None,
    time_base=None,
    sound="aac",
    turned=0,
    matrix=6,
    codec="libx264",
    rate=RATE,
    pix_fmt="yuv420p",
    aspect=None,
):
    """Write frames, shown at ``times`` in units of ``time_base``, with half a second of a sine wave as sound."""
    time_base = time_base or 1 / rate
    with av.open(str(path), "w") as container:
        video = container.add_stream(codec, rate=rate, options={"crf": "0"} if codec == "libx264" else {})
        video.height, video.width = frames[0].shape[:2]
        video.pix_fmt = pix_fmt
        if aspect:
            video.codec_context.sample_aspect_ratio = aspect
        video.codec_context.time_base = time_base
        video.codec_context.colorspace, video.codec_context.color_range = matrix, 1
        if turned:
            video.set_display_rotation(turned)
        audio = container.add_stream(sound, rate=44100, layout="mono") if sound else None
        for pts, frame in zip(times or range(len(frames)), frames, strict=True):
            picture = av.VideoFrame.from_ndarray(frame, format="rgb24").reformat(
                format=pix_fmt, dst_colorspace=matrix if matrix != 2 else 6, dst_color_range=1
            )
            picture.colorspace, picture.color_range = matrix, 1
            picture.pts, picture.time_base = pts, time_base
            container.mux(video.encode(picture))
        container.mux(video.encode(None))
        if audio is not None:
            wave = np.sin(np.arange(22050) / 10)[None].astype(np.float32)
            samples = av.AudioFrame.from_ndarray(wave, format="fltp", layout="mono")
            samples.sample_rate, samples.pts = 44100, 0
            container.mux(audio.encode(samples))
            container.mux(audio.encode(None))
    return path


def decoded(path):
    """Times in seconds and frames of a video, as PyAV decodes them."""
    with av.open(str(path)) as container:
        return [(frame.pts * frame.time_base, frame) for frame in container.decode(video=0)]


def packets(path, kind):
    """Content and times in seconds of the packets of the first stream of a type."""
    with av.open(str(path)) as container:
        found = container.demux(**{kind: 0})
        return [(bytes(packet), packet.pts * packet.time_base) for packet in found if packet.dts is not None]
