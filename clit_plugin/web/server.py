"""The server of the page: pictures are opened, tiles decoded, attention shown, files made; nothing goes to a disk."""

import asyncio
import json
import re
from dataclasses import dataclass, field
from importlib.resources import files
from typing import Any

import torch
from aiohttp import web

from clit_plugin.inference.pictures import Picture
from clit_plugin.ops.coordinates import Size
from clit_plugin.utils.byte_sizes import byte_size
from clit_plugin.utils.errors import UserError
from clit_plugin.web.downloads import Download, Maker
from clit_plugin.web.features import FeatureStore
from clit_plugin.web.guard import RefusedError, guard
from clit_plugin.web.images import encode_image, samples_of
from clit_plugin.web.scene import Lens, Scene, open_picture
from clit_plugin.web.sessions import Session, Sessions
from clit_plugin.web.wanted import (
    LONGEST_TILE,
    MOST_SCALE,
    parse_order,
    parse_region,
    parse_seen,
    parse_size,
    whole_number,
)
from clit_plugin.web.worker import Worker

MOST_BYTES = 64 * 2**20  # of an upload
MOST_UPLOADS = 4  # at once
PATIENCE = 120.0  # seconds that one may take
_PAGE = {
    "index.html": "text/html",
    "page.css": "text/css",
    "ask.js": "text/javascript",
    "main.js": "text/javascript",
    "view.js": "text/javascript",
    "level.js": "text/javascript",
    "gestures.js": "text/javascript",
    "tiles.js": "text/javascript",
    "bicubic.js": "text/javascript",
    "attention.js": "text/javascript",
    "download.js": "text/javascript",
}


@dataclass
class Server:
    """The page's state.

    Attributes:
        lenses: One or two networks.
        given: The picture of the command line and its name, which every tab opens first.
        names: Host names by which the page may be called.
    """

    lenses: list[Lens]
    given: tuple[Picture, str] | None = None
    names: frozenset[str] = frozenset({"localhost"})
    sessions: Sessions = field(default_factory=Sessions)
    store: FeatureStore = field(default_factory=FeatureStore)
    receiving: int = 0

    def __post_init__(self) -> None:
        self.worker = Worker(next(self.lenses[0].net.parameters()).device)
        self.maker = Maker(self.worker)

    def runner(self) -> web.AppRunner:
        """What serves the page; a request that its page gives up is cancelled."""
        return web.AppRunner(self._app(), handler_cancellation=True, access_log=None, shutdown_timeout=1.0)

    def _app(self) -> web.Application:
        app = web.Application(middlewares=[guard(self.names)], client_max_size=2**16)
        picture = "/api/pictures/{token}"
        app.add_routes(
            [
                web.get("/", self.page),
                web.get("/page/{name}", self.page),
                web.post("/api/pictures", self.open),
                web.delete(picture, self.close),
                web.get(f"{picture}/image", self.image),
                web.get(f"{picture}/tile", self.tile),
                web.get(f"{picture}/attention", self.attention),
                web.post(f"{picture}/download", self.start_download),
                web.get(f"{picture}/download/{{number}}", self.look_at_download),
                web.get(f"{picture}/download/{{number}}/file", self.take_download),
                web.delete(f"{picture}/download/{{number}}", self.cancel_download),
            ]
        )
        app.on_cleanup.append(self._stop)
        return app

    async def page(self, request: web.Request) -> web.Response:
        """The page and what belongs to it."""
        name = request.match_info.get("name", "index.html")
        if name not in _PAGE:
            raise RefusedError(404, "no such page")
        text = files("clit_plugin.web").joinpath("page").joinpath(name).read_text(encoding="utf-8")
        return web.Response(text=text, content_type=_PAGE[name], charset="utf-8")

    async def open(self, request: web.Request) -> web.Response:
        """Open the body's picture, or without a body the one of the command line."""
        if self.receiving >= MOST_UPLOADS:
            raise RefusedError(503, "too many pictures are being opened at once; try again")
        self.receiving += 1
        try:
            content = await asyncio.wait_for(_body(request), PATIENCE)
            name = _file_name(request.query.get("name", ""))
            picture = await self.worker.do(lambda: open_picture(content, name)) if content else None
        except asyncio.TimeoutError:  # Python 3.10 has its own, apart from TimeoutError
            raise RefusedError(408, f"the file did not arrive within {PATIENCE:g} s") from None
        finally:
            self.receiving -= 1
        if picture is None:
            if self.given is None:
                return web.json_response({"none": True, **self._about()})
            picture, name = self.given
        token = self.sessions.add(Session(name, Scene(picture, self.lenses, self.store)))
        height, width = picture.size
        return web.json_response({"token": token, "name": name, "width": width, "height": height, **self._about()})

    async def close(self, request: web.Request) -> web.Response:
        """Close a picture."""
        self.sessions.close(request.match_info["token"])
        return web.json_response({})

    async def image(self, request: web.Request) -> web.Response:
        """The picture itself."""
        picture = self._session(request).scene.picture
        content = await self.worker.do(lambda: _png(picture, picture.rgb, picture.alpha))
        return web.Response(body=content, content_type="image/png")

    async def tile(self, request: web.Request) -> web.Response:
        """A part of an output."""
        scene = self._session(request).scene
        region = parse_region(request.query, scene.size, len(self.lenses), longest=LONGEST_TILE)
        seen = parse_seen(request.query, region.size)

        def work() -> bytes:
            rgb = scene.tile(*region, seen=seen)
            return _png(scene.picture, rgb, scene.picture.alpha_part(*region[1:]))

        return web.Response(body=await self.worker.do(work), content_type="image/png")

    async def attention(self, request: web.Request) -> web.Response:
        """What every head of every branch attends to at an output pixel."""
        scene, query = self._session(request).scene, request.query
        lens = whole_number(query, "lens", 0, len(self.lenses) - 1)
        size: Size = parse_size(query, scene.size)
        pixel = (whole_number(query, "y", 0, size[0] - 1), whole_number(query, "x", 0, size[1] - 1))
        branches = await self.worker.do(lambda: scene.attention(lens, size, pixel))
        return web.json_response({"branches": branches})

    async def start_download(self, request: web.Request) -> web.Response:
        """Begin to make a file; the one before is given up."""
        session = self._session(request)
        try:
            values = json.loads(await request.text())
        except (ValueError, RecursionError):
            raise UserError("expected JSON") from None
        order = parse_order(values, session.scene.size, len(self.lenses))
        session.stop()
        download = session.download = Download.of(order, session.name)
        session.number += 1
        self.maker.begin(download, session.scene)
        return web.json_response({"number": session.number, "name": download.name})

    async def look_at_download(self, request: web.Request) -> web.Response:
        """How far it is."""
        download = self._download(request)
        ready = download.content is not None
        return web.json_response({"done": download.done / download.pixels, "ready": ready, "error": download.error})

    async def take_download(self, request: web.Request) -> web.Response:
        """The file."""
        download = self._download(request)
        if download.content is None:
            raise RefusedError(409, "the file is not ready yet")
        headers = {"Content-Disposition": f'attachment; filename="{download.name}"'}
        return web.Response(body=download.content, content_type=download.media_type, headers=headers)

    async def cancel_download(self, request: web.Request) -> web.Response:
        """Stop making it, or forget it."""
        self._download(request)
        self._session(request).stop()
        return web.json_response({})

    def _about(self) -> dict[str, Any]:
        lenses = [{"name": lens.name, "range": lens.scale_range} for lens in self.lenses]
        at_once = self.worker.side_by_side + 1  # the next tile waits where one is done
        return {"lenses": lenses, "most_scale": MOST_SCALE, "most_bytes": MOST_BYTES, "at_once": at_once}

    def _session(self, request: web.Request) -> Session:
        return self.sessions.of(request.match_info["token"])

    def _download(self, request: web.Request) -> Download:
        session = self._session(request)
        if session.download is None or request.match_info["number"] != str(session.number):
            raise RefusedError(404, "no such download")
        return session.download

    async def _stop(self, app: web.Application) -> None:
        for session in self.sessions.found.values():
            session.close()
        self.worker.close()


def _png(picture: Picture, rgb: torch.Tensor, alpha: torch.Tensor | None) -> bytes:
    return encode_image(samples_of(rgb, alpha, "png"), "png", profile=picture.profile)


async def _body(request: web.Request) -> bytes:
    """What was uploaded, read no further than the limit."""
    too_large = RefusedError(413, f"the file has more than {byte_size(MOST_BYTES)}; open a smaller one")
    if (request.content_length or 0) > MOST_BYTES:
        raise too_large
    content = bytearray()
    async for chunk in request.content.iter_chunked(2**16):
        content += chunk
        if len(content) > MOST_BYTES:
            raise too_large
    return bytes(content)


def _file_name(given: str) -> str:
    """A name to show and to give files: the last part of a path, of harmless characters."""
    name = re.sub(r"[^\w. -]", "_", re.split(r"[/\\]", given)[-1], flags=re.ASCII).strip(". ")
    return name[-80:] or "picture"
