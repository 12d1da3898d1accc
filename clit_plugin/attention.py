"""``clit attention``: what every head of every branch looks at."""

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from clit_plugin.console import say, written
from clit_plugin.errors import UserError
from clit_plugin.inference.arguments import add_network_arguments, add_option_file_argument

DESCRIPTION = """\
Draw the local attention maps of CLIT over an image (the paper's Fig. 7), as a PNG.

For each --at there is a row a branch: the image with the query (cross) and the branch's local grid (frame), then, head
by head, the surroundings of the query under the weights of the grid's pixels. X,Y are pixels of IMAGE, from 0,0 at the
upper left, fractions allowed; what is drawn belongs to the nearest pixel of the output. No display is needed.

example:
  clit attention photo.png --weights net_g_latest.pth --scale 3.4 --at 120,80 --at 31.5,44 -o attention.png

exit status: 0 done, 2 bad input"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("image", metavar="IMAGE", help="what is upscaled")
    parser.add_argument("-o", "--output", metavar="OUT", required=True, help="the PNG to write")
    parser.add_argument("--weights", metavar="FILE", required=True, help="trained weights of CLIT, net_g_*.pth")
    parser.add_argument("--scale", metavar="S", type=float, required=True, help="factor, at least 1")
    parser.add_argument("--at", metavar="X,Y", action="append", required=True, help="a query; repeat it for more")
    parser.add_argument("--overwrite", action="store_true", help="replace OUT if it is there")
    add_option_file_argument(parser)
    add_network_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Draw; raises UserError for anything that a user can mend."""
    import torch

    from clit_plugin.archs.clit_arch import CLIT
    from clit_plugin.inference.attention_figure import draw_attention
    from clit_plugin.inference.images import check_new_png, read_picture, write_bytes
    from clit_plugin.inference.memory import memory_errors
    from clit_plugin.inference.tiled_encoder import TiledEncoder
    from clit_plugin.inference.weights import choose_device, load_network
    from clit_plugin.ops.stages import greedy_stage_sizes

    begun = time.monotonic()
    output = check_new_png(args.output, overwrite=args.overwrite)
    if not 1 <= args.scale < 10000:
        raise UserError(f"--scale: expected at least 1, got {args.scale:g}")
    lq = read_picture(Path(args.image)).rgb
    size = (lq.shape[-2], lq.shape[-1])
    out_size = (round(size[0] * args.scale), round(size[1] * args.scale))
    queries = [_query(text, size, out_size) for text in args.at]
    device = choose_device(args.device)
    net = load_network(args.weights, args.opt, param_key=args.param_key, device=device)
    if not isinstance(net, CLIT) or net.pos_bias is None:
        raise UserError(f"{args.weights}: {type(net).__name__} without local attention; there is nothing to draw")
    net.encoder = TiledEncoder(net.encoder)
    coord = torch.tensor([[(2 * y / size[0] - 1, 2 * x / size[1] - 1) for y, x in queries]], device=device)
    stages = greedy_stage_sizes(size, out_size, net.num_branches)
    with memory_errors(args.image, device, "a smaller --scale, or a part of the image"):
        maps = net.attention(lq[None].to(device), coord, stages)
    write_bytes(output, draw_attention(lq, queries, maps, net.local_grid))
    say(written(output, time.monotonic() - begun))
    return 0


def _query(text: str, size: tuple[int, int], out_size: tuple[int, int]) -> tuple[float, float]:
    """(y, x) in pixels of the image, the first one's centre at 0.5, of the output pixel nearest to X,Y."""
    try:
        x, y = (float(part) for part in text.split(","))
    except ValueError:
        raise UserError(f"--at {text}: expected X,Y in pixels, as 120,80") from None
    if not (-0.5 <= y < size[0] - 0.5 and -0.5 <= x < size[1] - 0.5):
        raise UserError(f"--at {text}: outside the image, whose X go to {size[1] - 1} and Y to {size[0] - 1}")
    centres = []
    for position, n, n_out in zip((y, x), size, out_size, strict=True):
        pixel = min(int((position + 0.5) * n_out / n), n_out - 1)
        centres.append((pixel + 0.5) * n / n_out)
    return centres[0], centres[1]


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point of ``python -m clit_plugin.attention``."""
    from clit_plugin.cli import run_command

    return run_command("attention", arguments)


if __name__ == "__main__":
    sys.exit(main())
