"""``clit figure``: the paper's Fig. 5 and Fig. 6 for systems of your own."""

import argparse
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from clit_plugin.commands.shared_arguments import add_network_arguments, add_quiet_argument
from clit_plugin.utils.console import say, written
from clit_plugin.utils.errors import UserError

if TYPE_CHECKING:
    from clit_plugin.archs.arbitrary_scale_arch import ArbitraryScaleArch
    from clit_plugin.data.realistic_degradation import Degradation
    from clit_plugin.ops.crops import Crop

DESCRIPTION = """\
Draw figures that compare systems, as PNG.

crops: the HR image is downscaled by --scale, then upscaled by bicubic interpolation and by every --system; one row per
crop, with the PSNR of the whole image by the protocol, and of the crop alone (the paper's Fig. 5).
text: the image is downscaled by --reduce, then upscaled by each of --scales and shown pixel for pixel (Fig. 6).

--crop X,Y,WxH is in pixels of IMAGE, 0,0 being the upper left. Without it, crops shows the square where bicubic
interpolation has the largest error, and text the whole image.

examples:
  clit figure crops photo.png -o crops.png --scale 4 --system LIIF=liif.pth --system CLIT=clit.pth
  clit figure crops photo.png -o crops.png --scale 3.4 --system CLIT=clit.pth --crop 40,64,48x48 --crop 0,0,64x48
  clit figure text page.png -o text.png --system CLIT=clit.pth --reduce 2.2 --scales 1.6 2.5 3.4 4.3

exit status: 0 done, 2 bad input"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the two figures and their arguments."""
    figures = parser.add_subparsers(dest="figure", metavar="FIGURE", required=True)
    crops = figures.add_parser("crops", help="crops of HR, bicubic and every system, with their PSNR (Fig. 5)")
    crops.add_argument("--scale", metavar="S", type=float, required=True, help="factor, more than 1")
    crops.add_argument("--crop", metavar="X,Y,WxH", action="append", default=[], help="repeatable, one row each")
    crops.add_argument(
        "--protocol", default="benchmark", help="benchmark (Y, shave scale) or div2k; default: %(default)s"
    )
    text = figures.add_parser("text", help="a downscaled image, upscaled by several factors (Fig. 6)")
    text.add_argument("--reduce", metavar="S", type=float, default=2.2, help="downscaling factor; default: %(default)s")
    text.add_argument(
        "--scales", metavar="S", type=float, nargs="+", default=[1.6, 2.5, 3.4, 4.3], help="default: %(default)s"
    )
    text.add_argument("--crop", metavar="X,Y,WxH", help="the part to show")
    for each in (crops, text):
        each.add_argument("image", metavar="IMAGE", help="the HR image")
        each.add_argument("-o", "--output", metavar="OUT", required=True, help="the PNG to write")
        each.add_argument(
            "--system", metavar="NAME=FILE", action="append", default=[], help="a name and its weights; repeatable"
        )
        each.add_argument(
            "--degradation",
            choices=("pil", "matlab", "realistic"),
            default="pil",
            help="make LR by this bicubic kernel, or as {type: realistic} of a validation set; default: %(default)s",
        )
        each.add_argument("--overwrite", action="store_true", help="replace an existing OUT")
        each.add_argument(
            "--system-opt",
            metavar="NAME=YAML",
            action="append",
            default=[],
            help="option file with network_g, for a system whose weights file has none",
        )
        add_network_arguments(each)
        add_quiet_argument(each, default=argparse.SUPPRESS)


def run(args: argparse.Namespace) -> int:
    """Draw the figure; raises UserError for bad input."""
    from clit_plugin.data.image_io import encode_png
    from clit_plugin.figures.comparison_figure import Systems, crops_figure, text_figure
    from clit_plugin.inference.pictures import check_new_png, read_picture
    from clit_plugin.metrics.protocol import EvaluationProtocol
    from clit_plugin.ops.pixels import to_samples
    from clit_plugin.utils.atomic_files import write_bytes

    start = time.monotonic()
    output = check_new_png(args.output, [("image", args.image)], overwrite=args.overwrite)
    image = to_samples(read_picture(args.image).rgb)
    systems = Systems(networks=_load(args), degradation=_degradation(args), image_name=Path(args.image).name)
    if args.figure == "crops":
        _check_factor("--scale", args.scale)
        crops = [parse_crop(text) for text in args.crop]
        figure = crops_figure(image, systems, args.scale, crops, EvaluationProtocol.named(args.protocol))
    else:
        for name, factor in [("--reduce", args.reduce), *(("--scales", scale) for scale in args.scales)]:
            _check_factor(name, factor)
        crop = parse_crop(args.crop) if args.crop else None
        figure = text_figure(image, systems, args.reduce, args.scales, crop)
    write_bytes(output, encode_png(figure))
    say(written(output, time.monotonic() - start, f"{figure.shape[1]}x{figure.shape[0]}"))
    return 0


def _degradation(args: argparse.Namespace) -> "str | Degradation":
    from clit_plugin.data.realistic_degradation import draw_seeded, name_entropy
    from clit_plugin.data.realistic_options import parse_realistic

    if args.degradation != "realistic":
        return str(args.degradation)
    return draw_seeded(parse_realistic({"type": "realistic"}, "--degradation"), name_entropy(Path(args.image).stem))


def _check_factor(name: str, factor: float) -> None:
    if not 1 < factor < 1000:
        raise UserError(f"{name}: expected more than 1 and less than 1000, got {factor:g}")


def _load(args: argparse.Namespace) -> dict[str, "ArbitraryScaleArch"]:
    from clit_plugin.inference.load_network import choose_device, load_network
    from clit_plugin.inference.shipped import weights_path

    device = choose_device(args.device)
    files = _named(args.system, "--system", "CLIT=net_g_latest.pth")
    options = _named(args.system_opt, "--system-opt", "CLIT=options.yml")
    for name in options.keys() - files.keys():
        raise UserError(f"--system-opt {name}={options[name]}: there is no --system {name}")
    return {
        name: load_network(weights_path(path), options.get(name), param_key=args.param_key, device=device)
        for name, path in files.items()
    }


def _named(texts: Sequence[str], flag: str, example: str) -> dict[str, str]:
    named: dict[str, str] = {}
    for text in texts:
        name, _, value = text.partition("=")
        if not (name and value):
            raise UserError(f"{flag} {text}: expected NAME=FILE, such as {example}")
        if name in named or name in ("HR", "bicubic"):
            raise UserError(f"{flag} {text}: a panel named {name} exists already; give another name")
        named[name] = value
    return named


def parse_crop(text: str) -> "Crop":
    """Read ``X,Y,WxH``. Raises UserError for anything else."""
    from clit_plugin.ops.crops import Crop

    try:
        x, y, size = text.lower().split(",")
        width, height = size.split("x")
        crop = Crop(int(x), int(y), int(width), int(height))
    except ValueError:
        raise UserError(f"--crop {text}: expected X,Y,WxH in pixels, such as 40,64,48x32") from None
    if min(crop.x, crop.y) < 0 or min(crop.width, crop.height) < 1:
        raise UserError(f"--crop {text}: expected X and Y of at least 0, W and H of at least 1")
    return crop
