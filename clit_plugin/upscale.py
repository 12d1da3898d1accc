"""``clit upscale``: photographs made larger by trained weights."""

import argparse
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from clit_plugin.console import bar, say, warn, written
from clit_plugin.errors import IncompleteError, UserError
from clit_plugin.inference.arguments import add_network_arguments, add_option_file_argument
from clit_plugin.inference.tiles import ALIGNMENT, TILE

if TYPE_CHECKING:
    from clit_plugin.archs.arbitrary_scale_arch import ArbitraryScaleArch

DESCRIPTION = """\
Upscale images by any real factor, or to any size.

The factor is --scale, one per axis with --scale-y and --scale-x, or follows from --size. OUT is an image file where one
image is given and OUT ends like one (.png, .jpg, ...); otherwise it is a folder, which gets a .png of the same name for
every image. Folders are searched recursively. Grey, transparent and 16-bit images stay what they are; what EXIF says of
the orientation is carried out. Nothing is overwritten unless --overwrite says so.

examples:
  clit upscale photo.jpg -o photo_x3.4.png --weights net_g_latest.pth --scale 3.4
  clit upscale photo.jpg -o wide.png --weights net_g_latest.pth --scale-y 2 --scale-x 3.5
  clit upscale photos/ more.png -o upscaled/ --weights net_g_latest.pth --size 1080x1920

exit status: 0 done, 1 some images failed and the others are written, 2 bad input, 130 interrupted"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("images", metavar="IMAGE_OR_FOLDER", nargs="+", help="what to upscale")
    parser.add_argument("-o", "--output", metavar="OUT", required=True, help="image file or folder to write")
    parser.add_argument("--weights", metavar="FILE", required=True, help="trained weights, net_g_*.pth")
    parser.add_argument("--scale", metavar="S", type=float, help="factor for both axes, at least 1; 3.4 for example")
    parser.add_argument("--scale-y", metavar="S", type=float, help="factor for the height; needs --scale-x")
    parser.add_argument("--scale-x", metavar="S", type=float, help="factor for the width; needs --scale-y")
    parser.add_argument("--size", metavar="HxW", help="height and width of what is written, in place of a factor")
    parser.add_argument("--overwrite", action="store_true", help="replace files that are there")
    parser.add_argument("--skip-existing", action="store_true", help="leave out images whose output is there already")
    parser.add_argument(
        "--max-queries", metavar="N", type=int, help="pixels decoded at a time: fewer need less memory and more time"
    )
    parser.add_argument(
        "--tile",
        metavar="N",
        type=int,
        default=TILE,
        help="side of the tiles in which the encoder sees an image, a multiple of 8; 0: the whole image "
        "(default: %(default)s)",
    )
    add_option_file_argument(parser)
    add_network_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Upscale; raises UserError for anything that a user can mend."""
    from clit_plugin.inference.tiled_encoder import TiledEncoder
    from clit_plugin.inference.weights import choose_device, load_network

    target = _target(args)
    if args.tile < 0 or args.tile % ALIGNMENT:
        raise UserError(f"--tile: expected a multiple of {ALIGNMENT}, or 0 for none, got {args.tile}")
    if args.max_queries is not None and args.max_queries < 1:
        raise UserError(f"--max-queries: expected at least 1, got {args.max_queries}")
    jobs = _jobs(args)
    net = load_network(args.weights, args.opt, param_key=args.param_key, device=choose_device(args.device))
    if args.tile:
        net.encoder = TiledEncoder(net.encoder, tile=args.tile)
    failed = []
    with bar(jobs, unit="image", disable=len(jobs) < 2) as outer:
        for source, output in outer:
            outer.set_description(source.name)
            try:
                _upscale_file(net, source, output, target, args.max_queries)
            except UserError as error:
                if len(jobs) == 1:
                    raise
                failed.append(str(error))
                warn(f"skipped: {error}")
    if failed:
        raise IncompleteError(f"{len(failed)} of {len(jobs)} images failed, the first for: {failed[0]}")
    return 0


@dataclass(frozen=True, kw_only=True)
class Target:
    """How large the output becomes: a factor for each axis, or a size."""

    scales: tuple[float, float] | None = None
    size: tuple[int, int] | None = None

    def of(self, size: tuple[int, int], name: str | Path) -> tuple[int, int]:
        """The output's (H, W) for an image of ``size``, round(H * scale).

        Raises:
            UserError: ``size`` is larger than what is asked for.
        """
        if self.size is None:
            assert self.scales is not None
            return round(size[0] * self.scales[0]), round(size[1] * self.scales[1])
        if self.size[0] < size[0] or self.size[1] < size[1]:
            raise UserError(
                f"--size {_by(self.size)}: smaller than {name}, which is {_by(size)}; networks only enlarge"
            )
        return self.size


def _target(args: argparse.Namespace) -> Target:
    pair = (args.scale_y, args.scale_x)
    if sum((args.scale is not None, pair != (None, None), args.size is not None)) != 1:
        raise UserError("give one of --scale, --scale-y with --scale-x, and --size")
    if args.size is not None:
        return Target(size=parse_size(args.size, "--size"))
    scales = (args.scale, args.scale) if args.scale is not None else pair
    if None in scales:
        raise UserError("--scale-y and --scale-x go together; give both, or --scale")
    if not all(1 <= scale < 10000 for scale in scales):  # nor is nan
        raise UserError(f"--scale: expected at least 1, got {' and '.join(f'{s:g}' for s in dict.fromkeys(scales))}")
    return Target(scales=scales)


def parse_size(text: str, where: str) -> tuple[int, int]:
    """Read ``HxW``. Raises UserError for anything but two positive integers."""
    height, _, width = text.lower().partition("x")
    if not (height.isdecimal() and width.isdecimal() and int(height) and int(width)):
        raise UserError(f"{where} {text}: expected HEIGHTxWIDTH in pixels, as 1080x1920")
    return int(height), int(width)


def _jobs(args: argparse.Namespace) -> list[tuple[Path, Path]]:
    """Every image with the file to write, all checked before the first one is computed."""
    from clit_plugin.data.image_io import IMAGE_SUFFIXES
    from clit_plugin.inference.images import check_output_format

    out = Path(args.output).expanduser()
    given = [Path(name).expanduser() for name in args.images]
    one = len(given) == 1 and not given[0].is_dir() and not out.is_dir()
    if one and out.suffix.lower() in IMAGE_SUFFIXES:
        jobs = [(given[0], out)]
    elif one and out.suffix:
        check_output_format(out)
    elif out.suffix.lower() in IMAGE_SUFFIXES:
        raise UserError(f"{out}: named like one image, but several are to be written; give a folder")
    else:
        jobs = [(source, out / relative.with_suffix(".png")) for source, relative in _sources(given, out)]
    owners: dict[Path, Path] = {}
    for source, output in jobs:
        if not source.is_file():
            raise UserError(f"{source}: no such image or folder")
        if (other := owners.setdefault(output, source)) is not source:
            raise UserError(f"{source} and {other} would both be written to {output}; rename one, or give another -o")
        if output.is_dir():
            raise UserError(f"{output}: is a folder")
        if output.exists() and output.samefile(source):
            raise UserError(f"{output}: would replace the image itself; give another -o")
    there = [output for _, output in jobs if output.exists()]
    if args.skip_existing:
        return [(source, output) for source, output in jobs if output not in there]
    if there and not args.overwrite:
        more = f" and {len(there) - 1} more are" if len(there) > 1 else " is"
        raise UserError(
            f"{there[0]}{more} there already; --overwrite replaces, --skip-existing leaves out what is there"
        )
    return jobs


def _sources(given: Sequence[Path], out: Path) -> Iterator[tuple[Path, Path]]:
    """Images with their paths below the folder given, or their names."""
    from clit_plugin.data.lmdb_sources import find_sources

    for path in given:
        if not path.is_dir():
            yield path, Path(path.name)
            continue
        if out.resolve().is_relative_to(path.resolve()):
            raise UserError(f"{out}: lies inside {path}, so that results would be upscaled again; give another -o")
        for name in find_sources(path):
            yield path / name, Path(name)


def _upscale_file(
    net: "ArbitraryScaleArch", source: Path, output: Path, target: Target, max_queries: int | None
) -> None:
    from clit_plugin.inference.apply import upscale_with_progress
    from clit_plugin.inference.images import check_output_kind, read_picture, write_picture

    begun = time.monotonic()
    picture = read_picture(source)
    size = target.of(picture.size, source)
    check_output_kind(output, picture, source, size)
    label = f"{source.name} {_by(picture.size)} to {_by(size)}"
    rgb = upscale_with_progress(net, picture.rgb, size, label=label, name=str(source), max_queries=max_queries)
    write_picture(output, picture.resized(rgb))
    say(written(output, time.monotonic() - begun, _by(size)))


def _by(size: tuple[int, int]) -> str:
    return f"{size[0]}x{size[1]}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point of ``python -m clit_plugin.upscale``."""
    from clit_plugin.cli import run_command

    return run_command("upscale", arguments)


if __name__ == "__main__":
    sys.exit(main())
