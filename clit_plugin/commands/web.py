"""``clit web``: a page with continuous zoom."""

import argparse
import asyncio
import errno
import ipaddress
import signal
import socket
import webbrowser
from pathlib import Path
from typing import TYPE_CHECKING

from clit_plugin.commands.shared_arguments import add_network_arguments, add_option_file_argument
from clit_plugin.inference.shipped import DEFAULT, weights_path
from clit_plugin.utils.console import say, warn
from clit_plugin.utils.errors import UserError

if TYPE_CHECKING:
    from clit_plugin.web.server import Server

DESCRIPTION = """\
Open a page with continuous zoom: the visible part of a picture is decoded at the screen's own resolution.

Drop a picture on the page, or name one. Wheel, drag, pinch or keys zoom; a slider compares with bicubic interpolation,
or with a second weights file; a click shows what every head of every branch attends to. Nothing leaves this computer
and nothing is written to disk. Only this computer can open the page, unless --host names another address.

examples:
  clit web
  clit web photo.jpg --weights net_g_latest.pth
  clit web photo.jpg --weights clit.safetensors lit.safetensors

exit status: 0 stopped, 2 bad input"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("image", metavar="IMAGE", nargs="?", help="the picture to open first")
    parser.add_argument(
        "--weights",
        metavar="FILE",
        nargs="+",
        type=weights_path,
        default=[str(DEFAULT)],
        help="trained weights, or a name of the package's; a second one to compare (default: clit_small)",
    )
    parser.add_argument("--port", metavar="N", type=int, default=8484, help="default: %(default)s; 0: any free port")
    parser.add_argument(
        "--host",
        metavar="ADDRESS",
        default="127.0.0.1",
        help="address to listen on (default: %(default)s, this computer only)",
    )
    parser.add_argument("--no-browser", action="store_true", help="only print the address")
    add_option_file_argument(parser)
    add_network_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Serve until interrupted; raises UserError for bad input."""
    try:
        import aiohttp  # noqa: F401
    except ImportError:
        raise UserError('clit web needs aiohttp; pip install "clit_plugin[web]", or pip install aiohttp') from None
    from clit_plugin.inference.load_network import choose_device
    from clit_plugin.inference.pictures import read_picture
    from clit_plugin.web.scene import load_lens
    from clit_plugin.web.server import Server

    if len(args.weights) > 2:
        raise UserError(f"--weights: expected one file or two to compare, got {len(args.weights)}")
    if not 0 <= args.port <= 65535:
        raise UserError(f"--port: expected 0 to 65535, got {args.port}")
    picture = None if args.image is None else (read_picture(Path(args.image)), Path(args.image).name)
    device = choose_device(args.device)
    lenses = [load_lens(file, args.opt, param_key=args.param_key, device=device) for file in args.weights]
    listening = _listen(args.host, args.port)
    if not _is_loopback(listening):
        warn(f"--host {args.host}: everyone who can reach this address can use the page and see its picture")
    server = Server(lenses, picture, frozenset({"localhost", args.host.lower(), socket.gethostname().lower()}))
    asyncio.run(_serve(server, listening, browser=not args.no_browser))
    return 0


async def _serve(server: "Server", listening: socket.socket, *, browser: bool) -> None:
    from aiohttp import web

    stopped = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    runner = server.runner()
    await runner.setup()
    try:
        await web.SockSite(runner, listening).start()
        host, port = listening.getsockname()[:2]
        address = f"http://{f'[{host}]' if ':' in host else host}:{port}/"
        say(f"{address}  (Ctrl+C stops)")
        if browser:
            await asyncio.to_thread(webbrowser.open, address)
        await stopped.wait()
    finally:
        await runner.cleanup()


def _listen(host: str, port: int) -> socket.socket:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listening = socket.socket(family, kind, protocol)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
    except (OSError, UnicodeError) as error:
        port_is_refused = isinstance(error, OSError) and error.errno in (errno.EADDRINUSE, errno.EACCES)
        remedy = "try another --port" if port_is_refused else "give an address of this computer, such as 127.0.0.1"
        raise UserError(f"--host {host} --port {port}: cannot listen on it ({error}); {remedy}") from error
    return listening


def _is_loopback(listening: socket.socket) -> bool:
    return ipaddress.ip_address(listening.getsockname()[0].partition("%")[0]).is_loopback
