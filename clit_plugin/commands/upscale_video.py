"""``clit upscale`` for videos."""

import argparse
import hashlib
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clit_plugin.commands.upscale_jobs import VIDEOS
from clit_plugin.inference.target_size import Target
from clit_plugin.ops.sizes import wxh
from clit_plugin.utils.console import AnyBar, bar, say, warn, written
from clit_plugin.utils.errors import UserError
from clit_plugin.utils.output_files import check_replaces_none, check_writable
from clit_plugin.utils.startup import under_torchrun

if TYPE_CHECKING:
    from clit_plugin.inference.apply import UpscaleOptions
    from clit_plugin.ops.coordinates import Size
    from clit_plugin.video.clip import Clip

_CRF = 17
_BYTES_PER_PIXEL = 0.01  # of an encoded frame, stored in a part and in the output; only still scenes take less


def upscale_video(args: argparse.Namespace, target: Target, options: "UpscaleOptions") -> int:
    """Upscale the video of the arguments.

    Raises:
        UserError: PyAV is missing, arguments that do not apply to videos, or a file that cannot be read or written.
    """
    try:
        import av
    except ImportError:
        raise UserError(
            f'{args.images[0]}: videos need PyAV; pip install "clit_plugin[video]", or pip install av'
        ) from None
    from clit_plugin.inference.about import About
    from clit_plugin.inference.load_network import choose_device, load_described
    from clit_plugin.video.clip import read_clip
    from clit_plugin.video.coding import ENCODER, Coding
    from clit_plugin.video.enlarge import make_parts
    from clit_plugin.video.joining import check_sound, join
    from clit_plugin.video.parts import Parts

    start = time.monotonic()
    crf = _crf(args)
    source, output = Path(args.images[0]).expanduser(), _output(args)
    check_replaces_none([output], [("video", source), ("weights file", args.weights), ("option file", args.opt)])
    if output.exists() and args.skip_existing:
        say(f"{output}: exists already and is skipped")
        return 0
    if output.exists() and not args.overwrite:
        raise UserError(f"{output}: already exists; --overwrite replaces it, --skip-existing keeps it")
    clip = read_clip(source)
    size = _even(target, clip)
    check_sound(source, output)
    check_writable(output, needed=int(2 * _BYTES_PER_PIXEL * size[0] * size[1] * (clip.frames or 1)))
    loaded = load_described(args.weights, args.opt, param_key=args.param_key)
    net = loaded.net.to(choose_device(args.device))
    about = About.read(loaded.rest, args.weights)
    if line := about.line(args.weights):
        say(line)
    if warning := about.warning(clip.size, size):
        warn(f"{source}: {warning}")
    status = source.stat()
    parts = Parts.of(
        output,
        {
            "video": [source.name, status.st_size, status.st_mtime_ns],
            "size": size,
            "crf": crf,
            "weights": hashlib.sha256(Path(args.weights).read_bytes()).hexdigest(),
            "--param-key": loaded.param_key,
            "--self-ensemble": options.views > 1,
            "version of PyAV": [av.__version__, ENCODER],
        },
    )
    with _frames(source, clip, size, done=parts.finished) as progress:
        make_parts(clip, net, Coding.of(clip, size, crf=crf), parts, options=options, progress=progress)
    if not parts.finished:
        raise UserError(f"{source}: has no frames")
    join(parts.finished, clip, output)
    parts.remove()
    say(written(output, time.monotonic() - start, wxh(size)))
    return 0


def _crf(args: argparse.Namespace) -> int:
    if under_torchrun():
        raise UserError("torchrun: a video is made by one process; run without torchrun")
    for option in ("format", "quality"):
        if getattr(args, option) is not None:
            raise UserError(
                f"--{option}: for images only; a video takes its format from OUT and its quality from --crf"
            )
    if args.crf is not None and not 0 <= args.crf <= 51:
        raise UserError(f"--crf: expected 0 (lossless) to 51, got {args.crf}")
    return _CRF if args.crf is None else int(args.crf)


def _output(args: argparse.Namespace) -> Path:
    from clit_plugin.video.joining import FORMATS

    source, out = Path(args.images[0]), Path(args.output).expanduser()
    if out.is_dir() or not out.suffix:
        return out / f"{source.stem}{source.suffix if source.suffix.lower() in FORMATS else '.mp4'}"
    if out.suffix.lower() not in FORMATS:
        kind = "videos" if out.suffix.lower() in VIDEOS else "a video"
        raise UserError(f"{out}: {kind} cannot be written as {out.suffix}; choose one of {', '.join(FORMATS)}")
    return out


def _even(target: Target, clip: "Clip") -> "Size":
    """The output's size, odd sides one pixel larger: two rows and columns share a sample of chroma."""
    height, width = target.of(clip.size, clip.path)
    even = (height + height % 2, width + width % 2)
    if target.kind == "size" and even != (height, width):
        raise UserError(f"--size {wxh((height, width))}: the sides of a video must be even, as in {wxh(even)}")
    return even


@contextmanager
def _frames(source: Path, clip: "Clip", size: "Size", *, done: list[Path]) -> Iterator[Any]:
    """A progress bar over the frames; yields the function to call for every frame."""
    from clit_plugin.video.parts import FRAMES

    before = len(done) * FRAMES
    if clip.frames is not None:
        before = min(before, clip.frames)
    label = f"{source.name} {wxh(clip.size)} to {wxh(size)}"
    if before:
        say(f"{label}: continuing after {before} frames")
    shown: AnyBar
    with bar(desc=label, total=clip.frames, initial=before, unit="frame") as shown:
        yield shown.update
