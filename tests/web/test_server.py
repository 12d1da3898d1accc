"""The server of the page: what it decodes and what it refuses."""

import io
import json
import struct
import time
import zlib

import pytest
import torch
from PIL import Image
from web_images import decoded, png

from clit_plugin.inference.pictures import decode_picture
from clit_plugin.web import server as server_module
from clit_plugin.web.sessions import MAX_PICTURES

SIZES = [(47, 61), (70, 61), (164, 213), (940, 1210)]  # of the initial picture, which is 61 x 47


def query(size, box, lens=0):
    (x, y, w, h) = box
    return f"lens={lens}&width={size[1]}&height={size[0]}&x={x}&y={y}&w={w}&h={h}"


def given(client):
    return f"/api/pictures/{client.json('POST', '/api/pictures')['token']}"


@pytest.mark.parametrize("lens", [0, 1])
@pytest.mark.parametrize("size", SIZES)
def test_tiles_are_cut_from_what_upscale_gives(client, server, nets, size, lens):
    picture = given(client)
    whole = nets[lens].net.upscale(server.initial[0].rgb[None], size)[0].clamp(0, 1)
    for x, y in ((0, 0), (size[1] // 2, size[0] // 3), (size[1] - 33, size[0] - 21)):
        w, h = min(90, size[1] - x), min(70, size[0] - y)
        answer = client.ask("GET", f"{picture}/tile?{query(size, (x, y, w, h), lens)}")
        assert answer.status == 200, answer.content
        difference = decoded(answer.content) - whole[:, y : y + h, x : x + w]
        assert difference.abs().max() <= 1 / 255


def test_attention_is_that_of_the_network(client, server, nets):
    answer = client.json("GET", f"{given(client)}/attention?lens=0&width=610&height=470&x=300&y=200")
    coord = torch.tensor([[(401 / 470 - 1, 601 / 610 - 1)]])
    maps = nets[0].net.attention(server.initial[0].rgb[None], coord, [(188, 244)])
    assert len(answer["branches"]) == len(maps) == 2
    for answered, expected in zip(answer["branches"], maps, strict=True):
        assert (answered["size"], answered["centre"]) == (list(expected.size), expected.centre[0, 0].tolist())
        torch.testing.assert_close(torch.tensor(answered["heads"]), expected.weights[0, 0].T, rtol=0, atol=1e-4)


def test_a_network_without_attention_says_so(client):
    answer = client.ask("GET", f"{given(client)}/attention?lens=1&width=610&height=470&x=300&y=200")
    assert answer.status == 400
    assert "no local attention" in json.loads(answer.content)["error"]


def wait_for(client, picture, number):
    for _ in range(600):
        state = client.json("GET", f"{picture}/download/{number}")
        if state["ready"] or state["error"]:
            return state
        time.sleep(0.05)
    raise AssertionError("the download never ended")


def order(size, box, kind="png", quality=95):
    (x, y, w, h) = box
    values = {"lens": 0, "width": size[1], "height": size[0], "x": x, "y": y, "w": w, "h": h}
    return json.dumps({**values, "format": kind, "quality": quality})


def test_a_download_is_the_whole_picture_as_upscale_gives_it(client, server, nets):
    picture, size = given(client), (600, 779)
    started = client.json("POST", f"{picture}/download", order(size, (0, 0, size[1], size[0])))
    assert started["name"] == "given_779x600.png"
    assert wait_for(client, picture, started["number"]) == {"done": 1.0, "ready": True, "error": None}
    answer = client.ask("GET", f"{picture}/download/{started['number']}/file")
    assert answer.headers["Content-Disposition"] == "attachment; filename*=UTF-8''given_779x600.png"
    whole = nets[0].net.upscale(server.initial[0].rgb[None], size)[0].clamp(0, 1)
    assert (decoded(answer.content) - whole).abs().max() <= 1 / 255


@pytest.mark.parametrize(("kind", "name"), [("jpeg", "JPEG"), ("webp", "WEBP"), ("png", "PNG")])
def test_downloads_have_the_requested_format_and_quality_and_keep_transparency_where_possible(client, kind, name):
    picture = client.open(png(20, 30, "RGBA"))
    sizes = []
    for quality in (10, 90):
        number = client.json("POST", f"{picture}/download", order((60, 90), (5, 7, 50, 40), kind, quality))["number"]
        assert wait_for(client, picture, number)["ready"]
        content = client.ask("GET", f"{picture}/download/{number}/file").content
        with Image.open(io.BytesIO(content)) as image:
            assert (image.format, image.size) == (name, (50, 40))
            assert image.mode == ("RGB" if kind == "jpeg" else "RGBA")
        sizes.append(len(content))
    assert (sizes[0] < sizes[1]) == (kind != "png")


def test_a_cancelled_download_stops(client, server):
    picture = given(client)
    number = client.json("POST", f"{picture}/download", order((2820, 3660), (0, 0, 3660, 2820)))["number"]
    download = server.sessions.get(picture.rpartition("/")[2]).download
    client.json("DELETE", f"{picture}/download/{number}")
    assert client.ask("GET", f"{picture}/download/{number}").status == 404
    for _ in range(200):
        if download.task.done():
            break
        time.sleep(0.05)
    assert download.task.cancelled()
    assert download.done < download.pixels


def test_tabs_have_separate_pictures(client):
    one, other = client.open(png(20, 30, seed=1)), client.open(png(20, 30, seed=2))
    pixels = [decode_picture(client.ask("GET", f"{at}/image").content, "").rgb for at in (one, other)]
    assert not torch.equal(*pixels)
    client.json("DELETE", one)
    assert client.ask("GET", f"{one}/image").status == 404
    assert client.ask("GET", f"{other}/image").status == 200


def test_the_least_recently_used_picture_is_closed(client, server):
    first = client.open(png(20, 30))
    for _ in range(MAX_PICTURES):
        client.open(png(20, 30))
    assert len(server.sessions.by_token) == MAX_PICTURES
    answer = client.ask("GET", f"{first}/image")
    assert answer.status == 404
    assert "open it again" in json.loads(answer.content)["error"]


BAD_TILES = [
    "width=NaN",
    "width=inf",
    "width=-5",
    "width=1e9",
    "width=99999999999999999999",
    "width=60",  # smaller than the picture
    "width=6100",  # more than 64 times as large
    "height=2.5",
    "x=122",
    "x=-1",
    "w=0",
    "w=513",
    "h=95",  # beyond the bottom edge
    "lens=2",
    "lens=%00",
    "width=%D9%A3%D9%A3%D9%A3",  # digits of another script
]


@pytest.mark.parametrize("change", BAD_TILES)
def test_invalid_tiles_are_refused_in_one_line(client, change):
    values = {"lens": "0", "width": "122", "height": "94", "x": "0", "y": "0", "w": "10", "h": "10"}
    key, _, value = change.partition("=")
    values[key] = value
    text = "&".join(f"{name}={number}" for name, number in values.items())
    answer = client.ask("GET", f"{given(client)}/tile?{text}")
    assert answer.status == 400
    assert json.loads(answer.content)["error"].startswith(f"{key}: expected a whole number")


@pytest.mark.parametrize("visible", ["", "0,0,5", "0,0,NaN,5", "0,0,5,95", "-1,0,1,1", "122,0,1,1"])
def test_an_invalid_view_is_refused_in_one_line(client, visible):
    answer = client.ask("GET", f"{given(client)}/tile?lens=0&width=122&height=94&x=0&y=0&w=10&h=10&visible={visible}")
    assert answer.status == 400
    assert json.loads(answer.content)["error"].startswith("visible ")


def test_a_tile_does_not_depend_on_the_rest_of_the_view(client):
    path = f"{given(client)}/tile?lens=0&width=610&height=470&x=100&y=90&w=120&h=110"
    views = ("", "&visible=50,40,500,400", "&visible=0,0,1,1")
    tiles = [decoded(client.ask("GET", path + view).content) for view in views]
    for tile in tiles[1:]:
        torch.testing.assert_close(tile, tiles[0], rtol=0, atol=1.001 / 255)


@pytest.mark.parametrize(
    "path",
    ["/page/../server.py", "/page/..%2Fserver.py", "/page/%2e%2e/scene.py", "/page//etc/passwd", "/etc/passwd",
     "/page/index.html%00.js", "/api/pictures/../x/image", "/api/pictures/%2e/image"],
)  # fmt: skip
def test_nothing_but_the_page_is_served(client, path):
    assert client.ask("GET", path).status == 404


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example"},
        {"Host": "127.0.0.1.evil.example"},
        {"Host": "["},
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
def test_requests_from_other_sites_and_host_names_are_refused(client, server, headers):
    opened = len(server.sessions.by_token)
    assert client.ask("POST", "/api/pictures", None, headers).status == 403
    assert len(server.sessions.by_token) == opened


def test_the_page_is_served_as_localhost_and_to_its_own_script(client, server):
    host = f"localhost:{server.port}"
    headers = {"Host": host, "Origin": f"http://{host}", "Sec-Fetch-Site": "same-origin"}
    assert client.ask("POST", "/api/pictures", None, headers).status == 200


def bomb():
    """A PNG that claims 60000 x 60000 pixels."""
    chunks = [b"IHDR" + struct.pack(">IIBBBBB", 60000, 60000, 8, 2, 0, 0, 0), b"IDAT" + zlib.compress(bytes(100))]
    packed = [struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk)) for chunk in chunks]
    return b"\x89PNG\r\n\x1a\n" + b"".join(packed)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "not a readable picture"),
        (b"\xff\xd8\xff" + bytes(100), "not a readable picture"),
        (bomb(), "60000x60000 pixels, more than 50 million"),
        (png(40, 40)[:300], "not a readable image"),
    ],
)
def test_a_file_that_is_not_a_picture_is_refused_by_its_content(client, content, message):
    answer = client.ask("POST", "/api/pictures?name=..%2F..%2F%3Cb%3Ephoto.png", content)
    assert answer.status == 400
    error = json.loads(answer.content)["error"]
    assert message in error
    assert error.startswith("_b_photo.png: ")


def test_an_empty_file_is_refused_and_does_not_open_the_initial_picture(client):
    answer = client.ask("POST", "/api/pictures?name=empty.png", b"")
    assert answer.status == 400
    assert json.loads(answer.content)["error"].startswith("empty.png: ")


def test_file_names_keep_their_non_ascii_letters(client):
    opened = client.json("POST", "/api/pictures?name=c%C3%A4t%2Fd%C3%B6g.png", png(20, 30))
    assert opened["name"] == "dög.png"
    values = {"lens": 0, "width": 30, "height": 20, "x": 0, "y": 0, "w": 30, "h": 20, "format": "png", "quality": 90}
    path = f"/api/pictures/{opened['token']}/download"
    assert client.json("POST", path, json.dumps(values))["name"] == "dög_30x20.png"
    wait_for(client, f"/api/pictures/{opened['token']}", 1)
    assert client.ask("GET", f"{path}/1/file").headers["Content-Disposition"].endswith("''d%C3%B6g_30x20.png")


@pytest.mark.parametrize("chunked", [False, True])
def test_an_upload_is_read_no_further_than_the_limit(client, monkeypatch, chunked):
    monkeypatch.setattr(server_module, "MAX_UPLOAD_BYTES", 1000)
    content = bytes(2000)
    answer = client.ask("POST", "/api/pictures?name=x.png", iter([content]) if chunked else content)
    assert answer.status == 413


@pytest.mark.parametrize(
    "body",
    [
        "",
        "[]",
        "{",
        "null",
        "[" * 5000,
        order((94, 122), (0, 0, 10, 10), "exe"),
        order((94, 122), (0, 0, 10, 10), quality=0),
        order((94, 122), (0, 0, 10, 95)),
    ],
)
def test_invalid_downloads_are_refused(client, body):
    assert client.ask("POST", f"{given(client)}/download", body).status == 400


def test_the_size_of_a_download_is_limited(client):
    picture = client.open(png(200, 250))
    answer = client.ask("POST", f"{picture}/download", order((12800, 16000), (0, 0, 16000, 12800)))
    assert answer.status == 400
    assert "more than 100 million" in json.loads(answer.content)["error"]


def test_the_page_refers_to_no_other_address_and_allows_none(client):
    page = client.ask("GET", "/")
    assert "default-src 'none'" in page.headers["Content-Security-Policy"]
    names = [name for name in server_module._PAGE if name != "index.html"]
    texts = [page.content, *(client.ask("GET", f"/page/{name}").content for name in names)]
    assert not [text for text in texts if b"//" in text.replace(b"// ", b"").replace(b"http://www.w3.org", b"")]
