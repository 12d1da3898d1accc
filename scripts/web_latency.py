"""Print how long the page of ``clit web`` waits for its first tile, and for a full screen of tiles.

Every row opens the picture again, so that the first tile includes its share of the encoder, and requests tiles as the
page does: from the centre outwards, a few at a time. CPU seconds are those of all threads of this process.
"""

import argparse
import asyncio
import io
import math
import sys
import time
from itertools import pairwise

import aiohttp
import numpy as np
import skimage.data
import torch
from aiohttp import web
from PIL import Image

import clit_plugin  # noqa: F401, makes basicsr importable
from clit_plugin.commands.target_arguments import parse_size
from clit_plugin.inference.pictures import Picture, decode_picture, read_picture
from clit_plugin.inference.shipped import DEFAULT, weights_path
from clit_plugin.utils.errors import UserError
from clit_plugin.web.scene import load_lens
from clit_plugin.web.server import Server

TILE = 256  # as in page/level.js


def tile_boxes(size: tuple[int, int], screen: tuple[int, int]) -> list[tuple[int, int, int, int]]:
    """(y, x, h, w) of the tiles that show the middle of an output of ``size`` (H, W), from the centre outwards."""
    axes = []
    for n, visible in zip(size, screen, strict=True):
        side = math.ceil(visible / max(1, round(visible / TILE)))
        edge = (n - visible) // 2  # of the screen, in the output
        lines = [*range(edge, edge + visible, side), edge + visible]
        spans = [(max(0, start), min(n, stop)) for start, stop in pairwise(lines)]
        axes.append([(start, stop - start) for start, stop in spans if start < stop])
    tiles = [(y, x, h, w) for y, h in axes[0] for x, w in axes[1]]
    return sorted(tiles, key=lambda t: (t[0] + t[2] / 2 - size[0] / 2) ** 2 + (t[1] + t[3] / 2 - size[1] / 2) ** 2)


async def measure(client: aiohttp.ClientSession, factor: float, screen: tuple[int, int]) -> str:
    """A row of the table."""
    async with client.post("/api/pictures") as answer:
        opened = await answer.json()
    size = (round(opened["height"] * factor), round(opened["width"] * factor))
    start, cpu, done = time.perf_counter(), time.process_time(), []
    semaphore = asyncio.Semaphore(opened["max_requests"])
    top, left = (max(0, (n - m) // 2) for n, m in zip(size, screen, strict=True))
    visible = f"{left},{top},{min(size[1], screen[1])},{min(size[0], screen[0])}"

    async def fetch(y: int, x: int, h: int, w: int) -> None:
        values = {"lens": 0, "width": size[1], "height": size[0], "x": x, "y": y, "w": w, "h": h, "visible": visible}
        async with semaphore, client.get(f"/api/pictures/{opened['token']}/tile", params=values) as answer:
            answer.raise_for_status()
            await answer.read()
            done.append((time.perf_counter() - start, time.process_time() - cpu))

    await asyncio.gather(*(fetch(*box) for box in tile_boxes(size, screen)))
    async with client.delete(f"/api/pictures/{opened['token']}"):
        pass
    (first, first_cpu), (full, full_cpu) = done[0], done[-1]
    return f"x{factor:<6g}{first:9.2f} s{first_cpu:9.2f} s{full:11.2f} s{full_cpu:9.2f} s{len(done):8d}"


async def run(picture: Picture, args: argparse.Namespace) -> None:
    """Serve the picture and measure every factor."""
    screen = parse_size(args.screen, "--screen")
    lens = load_lens(args.weights, None, param_key=None, device=torch.device("cpu"))
    runner = Server([lens], (picture, "picture")).runner()
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    height, width = picture.size
    print(f"{width}x{height} with {lens.name}, screen {args.screen}, {torch.get_num_threads()} threads")
    print("factor  first tile       CPU  full screen       CPU   tiles")
    async with aiohttp.ClientSession(f"http://{host}:{port}") as client:
        await measure(client, args.factors[0], (1, 1))  # warm-up
        for factor in args.factors:
            print(await measure(client, factor, screen), flush=True)
    await runner.cleanup()


def main() -> None:
    """Parse the arguments and measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("image", nargs="?", help="default: scikit-image's astronaut, tiled 2 x 2")
    parser.add_argument("--weights", type=weights_path, default=str(DEFAULT), help="default: the package's")
    parser.add_argument("--factors", type=float, nargs="+", default=[1.5, 2.8, 4, 6, 10, 16, 30])
    parser.add_argument("--screen", default="1280x800", help="default: %(default)s")
    args = parser.parse_args()
    if args.image:
        picture = read_picture(args.image)
    else:
        buffer = io.BytesIO()
        Image.fromarray(np.tile(skimage.data.astronaut(), (2, 2, 1))).save(buffer, "PNG")
        picture = decode_picture(buffer.getvalue(), "astronaut")
    asyncio.run(run(picture, args))


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        sys.exit(f"web_latency.py: {error}")
