"""The page in a browser: Chromium without a window."""

import base64
import io
import os
import shutil

import pytest
import torch
from PIL import Image
from web_images import decoded, png

from clit_plugin.inference.pictures import decode_picture
from clit_plugin.ops.bicubic import resize_bicubic
from clit_plugin.ops.pixels import to_samples

playwright = pytest.importorskip("playwright.sync_api", reason="no playwright (pip install playwright)")
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium (apt install chromium)")
DONE = "#canvas[data-state=done]"
PATIENCE = 120_000  # ms, for a busy machine


@pytest.fixture(scope="module")
def browser():
    with playwright.sync_playwright() as driver:
        sandbox = ["--no-sandbox"] if os.geteuid() == 0 else []
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=sandbox)
        yield browser
        browser.close()


@pytest.fixture
def page(browser, server):
    """The page with its first picture; what it asked for and complained of is checked at the end."""
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


def shown(page):
    """What the canvas shows, (3, H, W); the output's size (H, W), and where it begins (y, x)."""
    canvas = page.locator("#canvas")
    width, height = canvas.get_attribute("data-size").split("x")
    x, y = canvas.get_attribute("data-origin").split(",")
    url = canvas.evaluate("canvas => canvas.toDataURL()")
    return decoded(base64.b64decode(url.partition(",")[2])), (int(height), int(width)), (int(y), int(x))


def compare(page, whole):
    """The largest difference between what is seen of an image and the image, and how many pixels are seen."""
    canvas, size, (y, x) = shown(page)
    assert whole.shape[-2:] == size
    top, left = max(0, y), max(0, x)
    part = canvas[:, top : min(canvas.shape[1], y + size[0]), left : min(canvas.shape[2], x + size[1])]
    expected = whole[:, top - y :, left - x :][:, : part.shape[1], : part.shape[2]]
    return (part - expected).abs().max().item(), part[0].numel()


def set_split(page, end):
    page.locator("#split").press("Home" if end == 0 else "End")


def settle(page):
    page.wait_for_timeout(50)
    page.wait_for_selector(DONE)
    page.wait_for_timeout(50)


def upscaled(server, nets, size, lens=0):
    return nets[lens].net.upscale(server.given[0].rgb[None], size)[0].clamp(0, 1)


def test_wheel_and_drag_show_the_pixels_that_upscale_gives(page, server, nets):
    page.locator("#left").select_option("-1")
    set_split(page, 0)
    sizes = set()
    for delta in (-310, -470, -800):
        page.mouse.move(300, 260)
        before = shown(page)[1]
        page.mouse.wheel(0, delta)
        while shown(page)[1] == before:
            page.wait_for_timeout(50)
        settle(page)
        page.mouse.down()
        page.mouse.move(341, 233, steps=4)
        page.mouse.up()
        settle(page)
        _, size, _ = shown(page)
        worst, pixels = compare(page, upscaled(server, nets, size))
        assert worst <= 1.001 / 255
        assert pixels > 50_000
        sizes.add(size)
    assert len(sizes) == 3


def test_left_of_the_slider_is_bicubic_or_the_second_network(page, server, nets):
    set_split(page, 1)
    page.locator("#canvas").press("+")
    settle(page)
    _, size, _ = shown(page)
    assert compare(page, upscaled(server, nets, size, 1))[0] <= 1.001 / 255
    page.locator("#left").select_option("-1")
    settle(page)
    samples = to_samples(server.given[0].rgb)
    bicubic = torch.from_numpy(resize_bicubic(samples, size, "pil").copy()).permute(2, 0, 1) / 255
    assert compare(page, bicubic)[0] <= 1.001 / 255


def test_the_slider_is_dragged_and_moved_by_keys(page):
    box = page.locator("#split").bounding_box()
    page.mouse.move(box["x"] + 14, 200)
    page.mouse.down()
    page.mouse.move(160, 200)
    page.mouse.up()
    assert page.locator("#split").get_attribute("aria-valuenow") == "25"
    page.locator("#canvas").press("]")
    assert page.locator("#split").get_attribute("aria-valuenow") == "27"


def test_the_keyboard_alone_zooms_moves_and_fits(page):
    canvas = page.locator("#canvas")
    before = canvas.get_attribute("data-size")
    for key in ("+", "+", "ArrowLeft"):
        canvas.press(key)
    settle(page)
    assert int(canvas.get_attribute("data-size").split("x")[0]) > int(before.split("x")[0])
    canvas.press("0")
    settle(page)
    assert canvas.get_attribute("data-size") == before


def test_beyond_the_training_is_said(page):
    page.locator("#zoom").fill("0.9")
    settle(page)
    assert page.locator("#range").inner_text() == "beyond the training: ×1 to ×4"
    page.locator("#canvas").press("1")
    settle(page)
    assert page.locator("#range").inner_text() == "trained for ×1 to ×4"
    assert page.locator("#factor").inner_text() == "×1.00"


def test_a_click_shows_every_head_of_every_branch(page):
    page.mouse.click(400, 250)
    page.wait_for_selector("#maps canvas")
    assert page.locator("#maps h3").count() == 2
    assert page.locator("#maps canvas").count() == 4
    page.keyboard.press("Escape")
    assert page.locator("#inside").is_hidden()


def test_the_whole_picture_is_downloaded(page, server, nets):
    page.locator("#take").click()
    page.locator("#what").select_option("whole")
    page.locator("#download-factor").fill("3.4")
    with page.expect_download() as told:
        page.locator("#start").click()
    assert told.value.suggested_filename == "given_207x160.png"
    with open(told.value.path(), "rb") as file:
        assert (decoded(file.read()) - upscaled(server, nets, (160, 207))).abs().max() <= 1 / 255


def test_the_view_is_downloaded(page):
    page.locator("#canvas").press("+")
    settle(page)
    page.locator("#take").click()
    page.locator("#format").select_option("webp")
    with page.expect_download() as told:
        page.locator("#start").click()
    with Image.open(told.value.path()) as image:
        assert image.format == "WEBP"
        assert page.locator("#download-size").inner_text() == f"{image.width}×{image.height} pixels"


def test_a_download_is_cancelled(page, server):
    page.locator("#take").click()
    page.locator("#what").select_option("whole")
    page.locator("#download-factor").fill("60")
    page.locator("#start").click()
    page.wait_for_selector("#progress:not([hidden])")
    session = next(reversed(server.sessions.found.values()))
    for _ in range(200):
        if session.download is not None:
            break
        page.wait_for_timeout(50)
    download = session.download
    page.locator("#cancel").click()
    for _ in range(200):
        if download.task.done():
            break
        page.wait_for_timeout(50)
    assert download.task.cancelled()


def test_a_picture_is_opened_and_what_is_none_is_refused_in_one_line(page):
    files = "#file"
    page.set_input_files(files, {"name": "note.png", "mimeType": "image/png", "buffer": b"no picture"})
    page.wait_for_selector("#message:not([hidden])")
    assert page.locator("#message").inner_text().startswith("note.png: is no picture")
    page.complaints.clear()  # the browser logs the answer's status
    content = png(33, 21)
    page.set_input_files(files, {"name": "new.png", "mimeType": "image/png", "buffer": content})
    page.wait_for_selector("#title:has-text('new.png')")
    settle(page)
    assert decode_picture(content, "").size == (33, 21)
    assert page.locator("#message").is_hidden()


def test_no_more_is_asked_for_than_is_seen(page):
    asked = []
    page.on("request", lambda request: asked.append(request.url) if "/tile?" in request.url else None)
    page.locator("#zoom").fill("0.95")
    settle(page)
    assert 0 < len({url.partition("?")[2] for url in asked}) <= 2 * 4 * 3 + 12


def test_a_phone_shows_everything_without_scrolling_sideways(browser, server):
    for scheme in ("light", "dark"):
        context = browser.new_context(viewport={"width": 360, "height": 640}, color_scheme=scheme, has_touch=True)
        page = context.new_page()
        page.goto(f"http://127.0.0.1:{server.port}/")
        page.wait_for_selector(DONE, timeout=PATIENCE)
        assert page.evaluate("document.documentElement.scrollWidth") <= 360
        for name in ("open", "in", "out", "fit", "left", "take", "split", "factor"):
            box = page.locator(f"#{name}").bounding_box()
            assert box["x"] >= -15
            assert box["x"] + box["width"] <= 360 + 15
        bright = sum(Image.open(io.BytesIO(page.locator("header").screenshot())).convert("L").histogram()[128:])
        assert (bright > 5000) == (scheme == "light")
        context.close()
