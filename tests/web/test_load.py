"""The server under load: cancelled requests, full queues, and limits of memory."""

import http.client
import json
import threading
import time

import pytest
from waiting import wait_until
from web_images import png

from clit_plugin.web import server as server_module
from clit_plugin.web.scene import Scene

TILE = "lens=0&width=610&height=470&x={x}&y=0&w=100&h=100"


@pytest.fixture
def blocked(server):
    """Block the worker's threads until this event is set."""
    event = threading.Event()
    for _ in range(server.worker.max_running):
        server.worker.pool.submit(event.wait, 60)
    yield event
    event.set()
    wait_until(lambda: server.worker.waiting == 0)


def begin(client, path, method="GET", body=None):
    """Send a request without waiting for the response."""
    connection = http.client.HTTPConnection("127.0.0.1", client.port, timeout=60)
    connection.request(method, path, body)
    return connection


def given(client):
    return f"/api/pictures/{client.json('POST', '/api/pictures')['token']}"


def test_tiles_that_left_the_view_are_never_decoded(client, server, blocked, monkeypatch):
    decoded = []
    tile = Scene.tile
    monkeypatch.setattr(Scene, "tile", lambda self, *at, **more: decoded.append(at[-1][0]) or tile(self, *at, **more))
    picture = given(client)
    requests = {x: begin(client, f"{picture}/tile?{TILE.format(x=x)}") for x in (0, 100, 200, 300)}
    wait_until(lambda: server.worker.waiting == 4)
    for x in (0, 100, 300):
        requests[x].close()
    wait_until(lambda: server.worker.waiting == 1)
    blocked.set()
    assert requests[200].getresponse().status == 200
    assert decoded == [200]


def test_more_requests_than_the_queue_holds_are_refused(client, server, blocked, monkeypatch):
    monkeypatch.setattr("clit_plugin.web.worker.MAX_WAITING", 2)
    path = f"{given(client)}/tile?{TILE.format(x=0)}"
    waiting = [begin(client, path) for _ in range(2)]
    wait_until(lambda: server.worker.waiting == 2)
    assert client.ask("GET", path).status == 503
    blocked.set()
    assert [request.getresponse().status for request in waiting] == [200, 200]


def test_the_number_of_simultaneous_uploads_is_limited(client, server, blocked):
    content = png(20, 30)
    uploads = [begin(client, "/api/pictures?name=a.png", "POST", content) for _ in range(server_module.MAX_UPLOADS)]
    wait_until(lambda: server.receiving == server_module.MAX_UPLOADS)
    assert client.ask("POST", "/api/pictures?name=b.png", content).status == 503
    blocked.set()
    assert {upload.getresponse().status for upload in uploads} == {200}
    assert server.receiving == 0


def test_an_upload_that_never_ends_times_out(client, server, monkeypatch):
    monkeypatch.setattr(server_module, "UPLOAD_TIMEOUT", 0.2)
    connection = http.client.HTTPConnection("127.0.0.1", client.port, timeout=60)
    connection.putrequest("POST", "/api/pictures?name=a.png")
    connection.putheader("Content-Length", "1000")
    connection.endheaders(b"a few bytes")
    answer = connection.getresponse()
    assert answer.status == 408
    assert "within 0.2 s" in json.loads(answer.read())["error"]
    assert server.receiving == 0


def test_pictures_beyond_the_pixel_limit_are_closed_but_never_the_newest(client, server, monkeypatch):
    monkeypatch.setattr(server.sessions, "max_pixels", 2000)
    first, second = client.open(png(20, 30)), client.open(png(30, 40))
    assert client.ask("GET", f"{first}/image").status == 200  # 1800 pixels
    third = client.open(png(50, 50))
    assert [client.ask("GET", f"{at}/image").status for at in (first, second, third)] == [404, 404, 200]


def test_a_picture_open_in_several_tabs_counts_once(client, server, monkeypatch):
    monkeypatch.setattr(server.sessions, "max_pixels", 47 * 61)
    tabs = [given(client) for _ in range(3)]
    assert [client.ask("GET", f"{at}/image").status for at in tabs] == [200, 200, 200]


def test_an_internal_error_is_one_line_and_the_server_continues(client, monkeypatch, capfd):
    def fail(*_, **__):
        raise ZeroDivisionError("no such luck")

    picture = given(client)
    with monkeypatch.context() as broken:
        broken.setattr(Scene, "tile", fail)
        answer = client.ask("GET", f"{picture}/tile?{TILE.format(x=0)}")
    assert answer.status == 500
    assert json.loads(answer.content)["error"] == "this failed in clit web (ZeroDivisionError: no such luck)"
    errors = capfd.readouterr().err
    assert "clit web: GET failed (ZeroDivisionError: no such luck)" in errors
    assert "Traceback" not in errors
    assert client.ask("GET", f"{picture}/tile?{TILE.format(x=0)}").status == 200


def test_downloads_are_made_one_after_another(client, server, blocked):
    values = {"lens": 0, "width": 122, "height": 94, "x": 0, "y": 0, "w": 122, "h": 94, "format": "png", "quality": 90}
    pictures = [given(client), given(client)]
    for picture in pictures:
        client.json("POST", f"{picture}/download", json.dumps(values))
    wait_until(lambda: server.worker.waiting == 1)
    time.sleep(0.1)
    assert server.worker.waiting == 1
    blocked.set()
    for picture in pictures:
        wait_until(lambda picture=picture: client.json("GET", f"{picture}/download/1")["ready"])


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"\x00\xff\x16\x03\x01",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET /" + b"a" * 20000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        b"POST /api/pictures HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"POST /api/pictures HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: -5\r\n\r\n",
    ],
)
def test_a_malformed_request_ends_only_its_connection(client, request_bytes, capfd):
    connection = http.client.HTTPConnection("127.0.0.1", client.port, timeout=10)
    connection.connect()
    connection.sock.sendall(request_bytes)
    assert connection.sock.recv(4096)[:12] in (b"HTTP/1.1 400", b"HTTP/1.0 400", b"HTTP/1.1 414", b"")
    connection.close()
    assert client.ask("GET", "/").status == 200
    assert "Traceback" not in capfd.readouterr().err


def test_an_aborted_upload_prints_no_traceback(client, server, capfd):
    connection = http.client.HTTPConnection("127.0.0.1", client.port, timeout=60)
    connection.putrequest("POST", "/api/pictures?name=a.png")
    connection.putheader("Content-Length", "100000")
    connection.endheaders(b"a few bytes")
    wait_until(lambda: server.receiving == 1)
    connection.close()
    wait_until(lambda: server.receiving == 0)
    assert client.ask("GET", "/").status == 200
    assert "Traceback" not in capfd.readouterr().err
