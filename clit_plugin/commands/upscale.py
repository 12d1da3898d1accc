"""``clit upscale``: photographs made larger by trained weights."""

import argparse
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from clit_plugin.commands.shared_arguments import add_network_arguments, add_option_file_argument
from clit_plugin.commands.target_arguments import add_target_arguments, parse_target
from clit_plugin.inference.target_size import Target
from clit_plugin.inference.tiles import ALIGNMENT, TILE
from clit_plugin.ops.sizes import by
from clit_plugin.utils.console import bar, say, warn, written
from clit_plugin.utils.errors import IncompleteError, UserError
from clit_plugin.utils.output_files import check_replaces_none, check_writable

if TYPE_CHECKING:
    from clit_plugin.archs.arbitrary_scale_arch import ArbitraryScaleArch

_PIXELS_A_BYTE = 10  # of a file: only images of hardly any content take less

DESCRIPTION = """\
Upscale images by any real factor, or to any size.

How large is said by a factor or by a side, which keep the aspect ratio, or by --size, which is refused where it would
distort an image unless --stretch allows it. Sizes are width x height. OUT is an image file where one image is given and
OUT ends like one (.png, .jpg, ...); otherwise it is a folder, which gets a .png of the same name for every image.
Folders are searched recursively. Grey, transparent and 16-bit images stay what they are; what EXIF says of the
orientation is carried out. Nothing is overwritten unless --overwrite says so.

examples:
  clit upscale photo.jpg -o photo_x3.4.png --weights net_g_latest.pth --scale 3.4
  clit upscale photos/ more.png -o upscaled/ --weights net_g_latest.pth --fit 1920x1080
  clit upscale photo.jpg -o large.png --weights net_g_latest.pth --long-side 4000
  clit upscale photo.jpg -o wide.png --weights net_g_latest.pth --scale-x 3.5 --scale-y 2

exit status: 0 done, 1 some images failed and the others are written, 2 bad input, 130 interrupted"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("images", metavar="IMAGE_OR_FOLDER", nargs="+", help="what to upscale")
    parser.add_argument("-o", "--output", metavar="OUT", required=True, help="image file or folder to write")
    parser.add_argument("--weights", metavar="FILE", required=True, help="trained weights, net_g_*.pth")
    add_target_arguments(parser)
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
    from clit_plugin.inference.load_network import choose_device, load_network
    from clit_plugin.inference.tiled_encoder import TiledEncoder

    target = parse_target(args)
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


def _jobs(args: argparse.Namespace) -> list[tuple[Path, Path]]:
    """Every image with the file to write, all checked before the first one is computed."""
    from clit_plugin.data.image_io import IMAGE_SUFFIXES
    from clit_plugin.inference.pictures import check_output_format

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
    inputs: list[tuple[str, str | Path | None]] = [("image", source) for source, _ in jobs]
    check_replaces_none(owners, [*inputs, ("weights file", args.weights), ("option file", args.opt)])
    for output in {output.parent: output for output in owners}.values():  # of each folder one
        check_writable(output)
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
    from clit_plugin.data.lmdb_files.sources import find_sources

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
    from clit_plugin.inference.memory import check_memory
    from clit_plugin.inference.pictures import check_output_kind, picture_size, read_picture, write_picture

    begun = time.monotonic()
    if (given := picture_size(source)) is not None:  # what memory has no room for is refused before it is decoded
        check_memory(target.of(given, source), next(net.parameters()).device, name=str(source))
    picture = read_picture(source)
    size = target.of(picture.size, source)
    check_output_kind(output, picture, source, size)
    check_writable(output, needed=size[0] * size[1] // _PIXELS_A_BYTE)
    label = f"{source.name} {by(picture.size)} to {by(size)}"
    rgb = upscale_with_progress(net, picture.rgb, size, label=label, name=str(source), max_queries=max_queries)
    write_picture(output, picture.resized(rgb))
    say(written(output, time.monotonic() - begun, by(size)))
