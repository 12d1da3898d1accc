"""The HTTP server behind the page: pictures, tiles, attention maps and downloads. Nothing is written to disk."""

import asyncio
import json
import re
from dataclasses import dataclass, field
from importlib.resources import files
from typing import Any
from urllib.parse import quote

import torch
from aiohttp import web

from clit_plugin.inference.pictures import Picture
from clit_plugin.ops.coordinates import Size
from clit_plugin.utils.byte_sizes import byte_size
from clit_plugin.utils.errors import UserError
from clit_plugin.web.downloads import Download, DownloadQueue
from clit_plugin.web.features import FeatureStore
from clit_plugin.web.guard import RefusedError, guard
from clit_plugin.web.images import encode_image, samples_of
from clit_plugin.web.request_parameters import (
    MAX_SCALE,
    MAX_TILE_SIDE,
    parse_download,
    parse_region,
    parse_size,
    parse_visible,
    whole_number,
)
from clit_plugin.web.scene import Lens, Scene, open_picture
from clit_plugin.web.sessions import Session, Sessions
from clit_plugin.web.worker import Worker

MAX_UPLOAD_BYTES = 64 * 2**20  # of an upload
MAX_UPLOADS = 4  # at once
UPLOAD_TIMEOUT = 120.0  # seconds
_PAGE = {
    "index.html": "text/html",
    "page.css": "text/css",
    "api.js": "text/javascript",
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
    """Routes, open pictures and worker threads.

    Attributes:
        lenses: One or two networks.
        initial: The picture of the command line and its name, which every tab opens first.
        names: Host names under which the page is served.
    """

    lenses: list[Lens]
    initial: tuple[Picture, str] | None = None
    names: frozenset[str] = frozenset({"localhost"})
    sessions: Sessions = field(default_factory=Sessions)
    store: FeatureStore = field(default_factory=FeatureStore)
    receiving: int = 0

    def __post_init__(self) -> None:
        self.worker = Worker(next(self.lenses[0].net.parameters()).device)
        self.downloads = DownloadQueue(self.worker)

    def runner(self) -> web.AppRunner:
        """The aiohttp runner; requests that the page aborts are cancelled."""
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
                web.get(f"{picture}/download/{{number}}", self.download_status),
                web.get(f"{picture}/download/{{number}}/file", self.download_file),
                web.delete(f"{picture}/download/{{number}}", self.cancel_download),
            ]
        )
        app.on_cleanup.append(self._stop)
        return app

    async def page(self, request: web.Request) -> web.Response:
        """The page's HTML, style sheet and scripts."""
        name = request.match_info.get("name", "index.html")
        if name not in _PAGE:
            raise RefusedError(404, "no such page")
        text = files("clit_plugin.web").joinpath("page").joinpath(name).read_text(encoding="utf-8")
        return web.Response(text=text, content_type=_PAGE[name], charset="utf-8")

    async def open(self, request: web.Request) -> web.Response:
        """Open the uploaded picture, or without ``name`` the one of the command line."""
        if "name" not in request.query:
            return self._opened(*self.initial) if self.initial else web.json_response({"none": True, **self._about()})
        if self.receiving >= MAX_UPLOADS:
            raise RefusedError(503, "too many pictures are being opened at once; try again")
        self.receiving += 1
        try:
            content = await asyncio.wait_for(_body(request), UPLOAD_TIMEOUT)
            name = _file_name(request.query["name"])
            picture = await self.worker.do(lambda: open_picture(content, name))
        except asyncio.TimeoutError:  # not the built-in TimeoutError in Python 3.10
            raise RefusedError(408, f"the file did not arrive within {UPLOAD_TIMEOUT:g} s") from None
        finally:
            self.receiving -= 1
        return self._opened(picture, name)

    def _opened(self, picture: Picture, name: str) -> web.Response:
        token = self.sessions.add(Session(name, Scene(picture, self.lenses, self.store)))
        height, width = picture.size
        return web.json_response({"token": token, "name": name, "width": width, "height": height, **self._about()})

    async def close(self, request: web.Request) -> web.Response:
        """Close a picture."""
        self.sessions.close(request.match_info["token"])
        return web.json_response({})

    async def image(self, request: web.Request) -> web.Response:
        """The picture at its own size."""
        picture = self._session(request).scene.picture
        content = await self.worker.do(lambda: _png(picture, picture.rgb, picture.alpha))
        return web.Response(body=content, content_type="image/png")

    async def tile(self, request: web.Request) -> web.Response:
        """Decode a tile of the enlarged picture."""
        scene = self._session(request).scene
        region = parse_region(request.query, scene.size, len(self.lenses), longest=MAX_TILE_SIDE)
        visible = parse_visible(request.query, region.size)

        def work() -> bytes:
            rgb = scene.tile(*region, visible=visible)
            return _png(scene.picture, rgb, scene.picture.alpha_part(*region[1:]))

        return web.Response(body=await self.worker.do(work), content_type="image/png")

    async def attention(self, request: web.Request) -> web.Response:
        """Attention weights of every head of every branch at an output pixel."""
        scene, query = self._session(request).scene, request.query
        lens = whole_number(query, "lens", 0, len(self.lenses) - 1)
        size: Size = parse_size(query, scene.size)
        pixel = (whole_number(query, "y", 0, size[0] - 1), whole_number(query, "x", 0, size[1] - 1))
        branches = await self.worker.do(lambda: scene.attention(lens, size, pixel))
        return web.json_response({"branches": branches})

    async def start_download(self, request: web.Request) -> web.Response:
        """Start a download; the previous one is cancelled."""
        session = self._session(request)
        try:
            values = json.loads(await request.text())
        except (ValueError, RecursionError):
            raise UserError("expected JSON") from None
        options = parse_download(values, session.scene.size, len(self.lenses))
        session.cancel_download()
        download = session.download = Download.of(options, session.name)
        session.number += 1
        self.downloads.start(download, session.scene)
        return web.json_response({"number": session.number, "name": download.name})

    async def download_status(self, request: web.Request) -> web.Response:
        """Progress of a download."""
        download = self._download(request)
        ready = download.content is not None
        return web.json_response({"done": download.done / download.pixels, "ready": ready, "error": download.error})

    async def download_file(self, request: web.Request) -> web.Response:
        """The finished file."""
        download = self._download(request)
        if download.content is None:
            raise RefusedError(409, "the file is not ready yet")
        headers = {"Content-Disposition": f"attachment; filename*=UTF-8''{quote(download.name)}"}
        return web.Response(body=download.content, content_type=download.media_type, headers=headers)

    async def cancel_download(self, request: web.Request) -> web.Response:
        """Cancel a download, or drop its file."""
        self._download(request)
        self._session(request).cancel_download()
        return web.json_response({})

    def _about(self) -> dict[str, Any]:
        lenses = [{"name": lens.name, "range": lens.scale_range} for lens in self.lenses]
        max_requests = self.worker.max_running + 1  # one waits here, to start as soon as another is done
        return {"lenses": lenses, "max_scale": MAX_SCALE, "max_bytes": MAX_UPLOAD_BYTES, "max_requests": max_requests}

    def _session(self, request: web.Request) -> Session:
        return self.sessions.get(request.match_info["token"])

    def _download(self, request: web.Request) -> Download:
        session = self._session(request)
        if session.download is None or request.match_info["number"] != str(session.number):
            raise RefusedError(404, "no such download")
        return session.download

    async def _stop(self, app: web.Application) -> None:
        for session in self.sessions.by_token.values():
            session.close()
        self.worker.close()


def _png(picture: Picture, rgb: torch.Tensor, alpha: torch.Tensor | None) -> bytes:
    return encode_image(samples_of(rgb, alpha, "png"), "png", profile=picture.profile)


async def _body(request: web.Request) -> bytes:
    """The uploaded file; reading stops at the size limit."""
    too_large = RefusedError(413, f"the file has more than {byte_size(MAX_UPLOAD_BYTES)}; open a smaller one")
    if (request.content_length or 0) > MAX_UPLOAD_BYTES:
        raise too_large
    content = bytearray()
    async for chunk in request.content.iter_chunked(2**16):
        content += chunk
        if len(content) > MAX_UPLOAD_BYTES:
            raise too_large
    return bytes(content)


def _file_name(path: str) -> str:
    """The last component of a path, sanitised for display and for file names."""
    name = re.sub(r"[^\w. -]", "_", re.split(r"[/\\]", path)[-1]).strip(". ")
    return name[-80:] or "picture"
