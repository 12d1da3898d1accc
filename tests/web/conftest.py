"""A server of the page in a thread, over a tiny network."""

import asyncio
import http.client
import json
import os
import shutil
import threading
from types import SimpleNamespace

import pytest
import torch
from aiohttp import web  # of the extra "web", which scripts/setup.sh installs
from inference_helpers import CLIT, LIIF, write_weights
from page_helpers import DONE, PATIENCE
from web_images import png

from clit_plugin.inference.pictures import decode_picture
from clit_plugin.web.scene import load_lens
from clit_plugin.web.server import Server

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


class Client:
    """An HTTP client that can also send what no browser would."""

    def __init__(self, port):
        self.port = port

    def ask(self, method, path, body=None, headers=None):
        """Send a request and return the response's status, headers and content."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        connection.request(method, path, body, headers or {})
        answer = connection.getresponse()
        content = answer.read()
        connection.close()
        return SimpleNamespace(status=answer.status, headers=answer.headers, content=content)

    def json(self, method, path, body=None):
        """The JSON of a response, which must have status 200."""
        answer = self.ask(method, path, body)
        assert answer.status == 200, answer.content
        return json.loads(answer.content)

    def open(self, content, name="photo.png"):
        """Upload a picture and return its path on the server."""
        return f"/api/pictures/{self.json('POST', f'/api/pictures?name={name}', content)['token']}"


@pytest.fixture(scope="module")
def nets(tmp_path_factory):
    """Two networks, CLIT and LIIF."""
    folder = tmp_path_factory.mktemp("weights")
    about = {"about": {"name": "tiny", "scale_range": [1, 4]}}
    write_weights(folder / "clit.pth", CLIT, **about)
    write_weights(folder / "liif.pth", LIIF)
    device = torch.device("cpu")
    return [load_lens(str(folder / f"{name}.pth"), None, param_key=None, device=device) for name in ("clit", "liif")]


@pytest.fixture(scope="module")
def server(nets):
    """A running server, with ``client`` and ``port``, whose initial picture has 61 x 47 pixels."""
    loop = asyncio.new_event_loop()
    server = Server(nets, (decode_picture(png(47, 61), "given.png"), "given.png"))
    runner = server.runner()
    started = threading.Event()

    async def start():
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        server.port = site._server.sockets[0].getsockname()[1]
        started.set()

    def run():
        loop.run_until_complete(start())
        loop.run_forever()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    assert started.wait(30)
    server.client = Client(server.port)
    yield server
    asyncio.run_coroutine_threadsafe(runner.cleanup(), loop).result(30)
    loop.call_soon_threadsafe(loop.stop)
    thread.join(10)


@pytest.fixture
def client(server):
    """A client of the server."""
    return server.client


@pytest.fixture(scope="module")
def browser():
    """Headless Chromium."""
    if CHROMIUM is None:
        pytest.skip("no Chromium (apt install chromium)")
    playwright = pytest.importorskip("playwright.sync_api", reason="no playwright (pip install playwright)")
    with playwright.sync_playwright() as driver:
        sandbox = ["--no-sandbox"] if os.geteuid() == 0 else []
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=sandbox)
        yield browser
        browser.close()


@pytest.fixture
def page(browser, server):
    """The page with its initial picture; its requests and console messages are checked at the end."""
    page = browser.new_page(viewport={"width": 640, "height": 500})
    page.set_default_timeout(PATIENCE)
    complaints, asked = [], []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(f"http://127.0.0.1:{server.port}/")
    page.wait_for_selector(DONE)
    page.complaints = complaints
    yield page
    page.close()
    assert not complaints
    assert asked
    assert all(url.startswith((f"http://127.0.0.1:{server.port}/", "blob:", "data:")) for url in asked)
