"""``clit upscale``: upscales images with trained weights."""

import argparse
import re
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from clit_plugin.commands.shared_arguments import add_network_arguments, add_option_file_argument
from clit_plugin.commands.target_arguments import add_target_arguments, parse_target
from clit_plugin.commands.upscale_jobs import FORMATS, Job, find_jobs, format_name, is_video
from clit_plugin.inference.shipped import DEFAULT, weights_path
from clit_plugin.inference.target_size import Target
from clit_plugin.inference.tiles import ALIGNMENT
from clit_plugin.ops.sizes import wxh
from clit_plugin.utils.console import bar, say, warn, written
from clit_plugin.utils.errors import IncompleteError, UserError
from clit_plugin.utils.output_files import check_writable
from clit_plugin.utils.signals import exit_on_signals

if TYPE_CHECKING:
    from clit_plugin.archs.arbitrary_scale_arch import ArbitraryScaleArch
    from clit_plugin.inference.about import About
    from clit_plugin.inference.apply import UpscaleOptions
_PIXELS_PER_BYTE = 10  # of an output file; only images with hardly any content compress better
_VIEWS = 8

DESCRIPTION = """\
Upscale images, or a video, by any real factor, or to any size.

The output size is given by a factor or by one side, which keep the aspect ratio, or by --size, which is refused if it
would distort an image, unless --stretch allows it. Sizes are width x height. OUT is an image file if there is a single
input image and OUT has an image suffix (.png, .jpg, ...); otherwise it is a folder, which receives one file per image,
.png or --format. Folders are searched recursively, patterns such as 'photos/**/*.jpg' are expanded, and subfolders are
kept. Grey, transparent and 16-bit images (in PNG and TIFF) and colour profiles are preserved; the EXIF orientation is
applied, and other EXIF tags are dropped. Existing files are replaced only with --overwrite.

Without --weights, the weights of the package are used: for scales from 1 to 16, and for sharp images.
Under torchrun, the images are shared among the processes.

A video becomes H.264 with the sound, timestamps and colours of the original, upright; odd sides are made even.
Finished parts are kept in OUT.parts: after an interruption the same command continues there. Videos need PyAV.

examples:
  clit upscale photo.jpg -o photo_x3.4.png --scale 3.4
  clit upscale photos/ more.png -o upscaled/ --fit 1920x1080 --format jpg --quality 90
  clit upscale photo.jpg -o large.png --weights net_g_latest.pth --long-side 4000
  clit upscale photo.jpg -o wide.png --scale-x 3.5 --scale-y 2
  clit upscale clip.mp4 -o large.mp4 --height 1080
  torchrun --nproc_per_node=4 -m clit_plugin upscale photos/ -o upscaled/ --scale 2

exit status: 0 done, 1 some images failed and the others are written, 2 bad input, 130 interrupted"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("images", metavar="IMAGE_OR_FOLDER", nargs="+", help="what to upscale")
    parser.add_argument("-o", "--output", metavar="OUT", required=True, help="image file or folder to write")
    parser.add_argument(
        "--weights",
        metavar="FILE",
        type=weights_path,
        default=str(DEFAULT),
        help="trained weights, .pth or .safetensors, or a name of the package's (default: clit_small)",
    )
    add_target_arguments(parser)
    parser.add_argument(
        "--format", choices=FORMATS, type=format_name, help="format of the files in a folder OUT (default: png)"
    )
    parser.add_argument(
        "--quality", metavar="1-100", type=int, help="quality of .jpg (default: 95) and .webp (default: lossless)"
    )
    parser.add_argument(
        "--crf",
        metavar="0-51",
        type=int,
        help="quality of a video: 0 is lossless, larger numbers give smaller files (default: 17)",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace existing files")
    parser.add_argument("--skip-existing", action="store_true", help="skip images whose output exists already")
    parser.add_argument(
        "--self-ensemble",
        action="store_true",
        help="average over 8 rotations and flips: slightly better, 8 times slower",
    )
    parser.add_argument(
        "--max-memory",
        metavar="GB",
        help="memory that this process may use on the device, such as 4 or 1500M; by default most of the free memory",
    )
    parser.add_argument(
        "--tile",
        metavar="N",
        type=int,
        help="side of the tiles in which an image is computed, a multiple of 8; 0: the whole image; by default chosen "
        "by the free memory",
    )
    parser.add_argument(
        "--max-queries", metavar="N", type=int, help="pixels decoded at a time: fewer take less memory but more time"
    )
    add_option_file_argument(parser)
    add_network_arguments(parser)


@dataclass(frozen=True, kw_only=True)
class _Task:
    """The settings shared by all images."""

    net: "ArbitraryScaleArch"
    about: "About"
    target: Target
    options: "UpscaleOptions"
    quality: int | None
    warned: set[str] = field(default_factory=set)


def run(args: argparse.Namespace) -> int:
    """Upscale the images; raises UserError for bad input."""
    from clit_plugin.commands.shared_work import by_first_rank, device_name, processes
    from clit_plugin.inference.about import About
    from clit_plugin.inference.load_network import choose_device, load_described
    from clit_plugin.utils.distributed import from_all_ranks

    target, options = parse_target(args), _upscale_options(args)
    if is_video(args.images):
        from clit_plugin.commands.upscale_video import upscale_video

        with exit_on_signals():
            return upscale_video(args, target, options)
    if args.crf is not None:
        raise UserError("--crf: for videos only; --quality is that of images")
    if args.quality is not None and not 1 <= args.quality <= 100:
        raise UserError(f"--quality: expected 1 to 100, got {args.quality}")
    with exit_on_signals(), processes() as (rank, count):
        jobs = by_first_rank(lambda: find_jobs(args), rank)
        device = choose_device(device_name(args.device))
        loaded = load_described(args.weights, args.opt, param_key=args.param_key)
        about = About.read(loaded.rest, args.weights)
        if line := about.line(args.weights):
            say(line)
        task = _Task(net=loaded.net.to(device), about=about, target=target, options=options, quality=args.quality)
        failed = _upscale_all(task, jobs[rank::count], several=len(jobs) > 1)
        others = [error for errors in from_all_ranks(failed)[1:] for error in errors]
    for error in others:
        warn(f"skipped: {error}")
    if failed or others:
        first = [*failed, *others][0]
        if rank:
            return 1
        raise IncompleteError(f"{len(failed) + len(others)} of {len(jobs)} images failed, the first: {first}")
    return 0


def _upscale_options(args: argparse.Namespace) -> "UpscaleOptions":
    from clit_plugin.inference.apply import UpscaleOptions

    if args.tile is not None and (args.tile < 0 or args.tile % ALIGNMENT):
        raise UserError(f"--tile: expected a multiple of {ALIGNMENT}, or 0 for none, got {args.tile}")
    if args.max_queries is not None and args.max_queries < 1:
        raise UserError(f"--max-queries: expected at least 1, got {args.max_queries}")
    max_memory = None
    if args.max_memory is not None:
        match = re.fullmatch(r"(\d+(?:\.\d*)?|\.\d+) ?([GM]?)(I?)B?", args.max_memory.strip().upper())
        power = 2 if match and match[2] == "M" else 3
        max_memory = match and float(match[1]) * (1024 if match[3] else 1000) ** power
        if not max_memory:
            raise UserError(f"--max-memory: expected gigabytes, such as 4, 1.5 or 1500M, got {args.max_memory}")
    views = _VIEWS if args.self_ensemble else 1
    return UpscaleOptions(max_queries=args.max_queries, tile=args.tile, max_memory=max_memory, views=views)


def _upscale_all(task: _Task, jobs: list[Job], *, several: bool) -> list[str]:
    """Upscale images; returns the errors, which have been printed. The error of a single image is raised."""
    failed = []
    with bar(jobs, unit="image", disable=not several) as outer:
        for job in outer:
            outer.set_description(job.source.name)
            try:
                _upscale_file(task, job)
            except UserError as error:
                if not several:
                    raise
                failed.append(str(error))
                warn(f"skipped: {error}")
    return failed


def _upscale_file(task: _Task, job: Job) -> None:
    from clit_plugin.inference.apply import strips_of, with_bar
    from clit_plugin.inference.picture_files import check_layout, kept_bytes
    from clit_plugin.inference.pictures import read_picture, write_upscaled

    start = time.monotonic()
    source, output = job
    picture = read_picture(source)
    size = task.target.of(picture.size, source)
    layout = picture.layout(output, size)
    check_layout(output, layout, source)
    check_writable(output, needed=size[0] * size[1] // _PIXELS_PER_BYTE)
    warnings = [task.about.warning(picture.size, size)]
    if layout.bits < picture.bits:
        warnings.append(
            f"has {picture.bits} bits per sample; {output.suffix} holds {layout.bits}, .png and .tiff keep all"
        )
    for warning in warnings:
        if warning is not None and warning not in task.warned:
            task.warned.add(warning)
            warn(f"{source}: {warning}")
    label = f"{source.name} {wxh(picture.size)} to {wxh(size)}"
    strips = with_bar(
        lambda progress: strips_of(
            task.net,
            picture.rgb,
            size,
            name=str(source),
            options=task.options,
            caller_bytes=kept_bytes(output, layout),
            progress=progress,
            label=label,
        ),
        size,
        label=label,
    )
    write_upscaled(output, picture, size, strips, quality=task.quality)
    say(written(output, time.monotonic() - start, wxh(size)))
