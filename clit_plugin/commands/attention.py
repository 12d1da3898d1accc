"""``clit attention``: what every head of every branch attends to."""

import argparse
import time
from pathlib import Path
from typing import TYPE_CHECKING

from clit_plugin.commands.shared_arguments import add_network_arguments, add_option_file_argument
from clit_plugin.inference.shipped import weights_path
from clit_plugin.ops.sizes import scale_label
from clit_plugin.utils.console import say, written
from clit_plugin.utils.errors import UserError

if TYPE_CHECKING:
    from clit_plugin.figures.attention_figure import Query
    from clit_plugin.ops.coordinates import Size

DESCRIPTION = """\
Draw the local attention maps of CLIT over an image (the paper's Fig. 7), as a PNG.

Every --at gets one row per branch: the image with the query (cross) and the branch's local grid (frame), then, for each
head, the surroundings of the query with the attention weights of the grid's pixels. X,Y is a position in pixels of
IMAGE, 0,0 being the upper left pixel, and may be fractional; the maps are those of the nearest output pixel.

Each branch magnifies by up to 4: x4 uses the first branch, x16 the first two, and so on. --branches all also draws the
unused ones, on the grids that they would have at larger scales.

example:
  clit attention photo.png --weights net_g_latest.pth --scale 3.4 --at 120,80 --at 31.5,44 -o attention.png

exit status: 0 done, 2 bad input"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("image", metavar="IMAGE", help="the LR image")
    parser.add_argument("-o", "--output", metavar="OUT", required=True, help="the PNG to write")
    parser.add_argument(
        "--weights", metavar="FILE", required=True, type=weights_path, help="trained weights of CLIT, net_g_*.pth"
    )
    parser.add_argument("--scale", metavar="S", type=float, required=True, help="factor, at least 1")
    parser.add_argument("--at", metavar="X,Y", action="append", required=True, help="a query; repeatable")
    parser.add_argument(
        "--branches", choices=("used", "all"), default="used", help="the branches that the scale uses (default), or all"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace an existing OUT")
    add_option_file_argument(parser)
    add_network_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Draw the figure; raises UserError for bad input."""
    import torch

    from clit_plugin.archs.clit_arch import CLIT
    from clit_plugin.figures.attention_figure import draw_attention
    from clit_plugin.inference.load_network import choose_device, load_network
    from clit_plugin.inference.memory import memory_errors
    from clit_plugin.inference.pictures import check_new_png, read_picture
    from clit_plugin.inference.tiled_encoder import TiledEncoder
    from clit_plugin.ops.sizes import scaled_size
    from clit_plugin.ops.stages import all_stage_sizes, greedy_stage_sizes
    from clit_plugin.utils.atomic_files import write_bytes

    start = time.monotonic()
    inputs = [("image", args.image), ("weights file", args.weights), ("option file", args.opt)]
    output = check_new_png(args.output, inputs, overwrite=args.overwrite)
    if not 1 <= args.scale < 10000:
        raise UserError(f"--scale: expected at least 1 and less than 10000, got {args.scale:g}")
    lq = read_picture(Path(args.image)).rgb
    size = (lq.shape[-2], lq.shape[-1])
    out_size = scaled_size(size, args.scale)
    queries = [parse_query(text, size, out_size) for text in args.at]
    device = choose_device(args.device)
    net = load_network(args.weights, args.opt, param_key=args.param_key, device=device)
    if not isinstance(net, CLIT) or net.pos_bias is None:
        raise UserError(f"{args.weights}: {type(net).__name__} without local attention, there is nothing to draw")
    net.encoder = TiledEncoder(net.encoder)
    places = [query.place for query in queries]
    coord = torch.tensor([[(2 * y / size[0] - 1, 2 * x / size[1] - 1) for y, x in places]], device=device)
    stages = greedy_stage_sizes(size, out_size, net.num_branches)
    used = len(stages) + 1
    say(_branches_line(args.scale, used, net.num_branches, drawn=args.branches))
    if args.branches == "all":
        stages += all_stage_sizes(size, net.num_branches)[len(stages) :]
    with memory_errors(args.image, device, "use a smaller --scale, or a part of the image"):
        maps = net.attention(lq[None].to(device), coord, stages)
    write_bytes(output, draw_attention(lq, queries, maps, net.local_grid, scale=args.scale, used=used))
    say(written(output, time.monotonic() - start))
    return 0


def _branches_line(scale: float, used: int, branches: int, *, drawn: str) -> str:
    names = "branch 1" if used == 1 else f"branches 1 to {used}"
    more = "" if used == branches or drawn == "all" else "; --branches all draws the others as well"
    return f"x{scale_label(scale)} uses {names} of {branches}{more}"


def parse_query(text: str, size: "Size", out_size: "Size") -> "Query":
    """The output pixel nearest to X,Y. Raises UserError for a point outside the image."""
    from clit_plugin.figures.attention_figure import Query

    try:
        x, y = (float(part) for part in text.split(","))
    except ValueError:
        raise UserError(f"--at {text}: expected X,Y in pixels, such as 120,80") from None
    if not (-0.5 <= y < size[0] - 0.5 and -0.5 <= x < size[1] - 0.5):
        raise UserError(f"--at {text}: outside the image, where X is 0 to {size[1] - 1} and Y is 0 to {size[0] - 1}")
    sides = list(zip((y, x), size, out_size, strict=True))
    pixels = [min(int((position + 0.5) * n_out / n), n_out - 1) for position, n, n_out in sides]
    places = [(pixel + 0.5) * n / n_out for pixel, (_, n, n_out) in zip(pixels, sides, strict=True)]
    return Query(text, (pixels[0], pixels[1]), (places[0], places[1]))
