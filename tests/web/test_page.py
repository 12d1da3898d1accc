"""The page in headless Chromium."""

import threading
from urllib.parse import parse_qsl, urlsplit

import torch
from page_helpers import compare, mean_difference, set_split, settle, shown, wheel
from PIL import Image
from web_images import decoded, png

from clit_plugin.inference.pictures import decode_picture
from clit_plugin.ops.bicubic import resize_bicubic
from clit_plugin.ops.parts import Part
from clit_plugin.ops.pixels import to_samples


def upscaled(server, nets, size, lens=0):
    return nets[lens].net.upscale(server.initial[0].rgb[None], size)[0].clamp(0, 1)


def enlarged(server, size):
    samples = to_samples(server.initial[0].rgb)
    return torch.from_numpy(resize_bicubic(samples, size, "pil").copy()).permute(2, 0, 1) / 255


def test_wheel_and_drag_show_the_pixels_that_upscale_gives(page, server, nets):
    page.locator("#left").select_option("-1")
    set_split(page, 0)
    for delta, least, most in ((470, 3, 5), (-700, 9, 16)):
        page.mouse.move(300, 260)
        wheel(page, delta)
        settle(page)
        page.mouse.down()
        page.mouse.move(321, 243, steps=4)
        page.mouse.up()
        settle(page)
        _, size, _ = shown(page)
        assert least < size[1] / 61 < most
        worst, pixels = compare(page, upscaled(server, nets, size))
        assert worst <= 1.001 / 255
        assert pixels > 40_000


def test_beyond_x30_the_view_shows_the_pixels_that_upscale_gives(page, server, nets):
    set_split(page, 0)
    page.locator("#zoom").fill("0.85")
    settle(page)
    canvas, size, (y, x) = shown(page)
    assert size[1] / 61 > 30
    rows, columns = (-y, -y + canvas.shape[1]), (-x, -x + canvas.shape[2])
    part = Part((47, 61), (0, 0), rows, columns)
    expected = nets[0].net.upscale_part(server.initial[0].rgb[None], size, part)[0].clamp(0, 1)
    assert (canvas - expected).abs().max() <= 1.001 / 255


def test_while_another_factor_is_decoded_the_last_one_stands_in_without_flicker(page, server, nets):
    page.locator("#left").select_option("-1")
    set_split(page, 0)
    canvas, size, _ = shown(page)
    blocked = threading.Event()
    for _ in range(server.worker.max_running):
        server.worker.pool.submit(blocked.wait, 60)
    try:
        page.locator("#zoom").fill(str(float(page.locator("#zoom").input_value()) + 0.05))
        page.wait_for_timeout(400)
        _, new_size, _ = shown(page)
        assert new_size > size
        ours, bicubic = (
            mean_difference(page, image) for image in (upscaled(server, nets, new_size), enlarged(server, new_size))
        )
        assert ours < bicubic
    finally:
        blocked.set()
    settle(page)
    assert compare(page, upscaled(server, nets, new_size))[0] <= 1.001 / 255


def test_left_of_the_slider_is_bicubic_or_the_second_network(page, server, nets):
    set_split(page, 1)
    page.locator("#canvas").press("+")
    settle(page)
    _, size, _ = shown(page)
    assert compare(page, upscaled(server, nets, size, 1))[0] <= 1.001 / 255
    page.locator("#left").select_option("-1")
    settle(page)
    assert compare(page, enlarged(server, size))[0] <= 1.001 / 255


def test_the_slider_is_dragged_and_moved_by_keys(page):
    box = page.locator("#split").bounding_box()
    page.mouse.move(box["x"] + 14, 200)
    page.mouse.down()
    page.mouse.move(160, 200)
    page.mouse.up()
    assert page.locator("#split").get_attribute("aria-valuenow") == "25"
    page.locator("#canvas").press("]")
    assert page.locator("#split").get_attribute("aria-valuenow") == "27"


def test_scales_beyond_the_training_are_indicated(page):
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
    assert page.locator("#attention").is_hidden()


def test_the_whole_picture_is_downloaded(page, server, nets):
    page.locator("#open-download").click()
    page.locator("#what").select_option("whole")
    page.locator("#download-factor").fill("3.4")
    with page.expect_download() as download:
        page.locator("#start-download").click()
    assert download.value.suggested_filename == "given_207x160.png"
    with open(download.value.path(), "rb") as file:
        assert (decoded(file.read()) - upscaled(server, nets, (160, 207))).abs().max() <= 1 / 255
    assert page.locator("#download-title").inner_text() == "Download, by tiny"
    page.wait_for_selector("#cancel:has-text('Close')")


def test_the_view_is_downloaded(page):
    page.locator("#canvas").press("+")
    settle(page)
    page.locator("#open-download").click()
    page.locator("#format").select_option("webp")
    with page.expect_download() as download:
        page.locator("#start-download").click()
    with Image.open(download.value.path()) as image:
        assert image.format == "WEBP"
        assert page.locator("#download-size").inner_text() == f"{image.width}×{image.height} pixels"


def test_a_download_is_cancelled(page, server):
    page.locator("#open-download").click()
    page.locator("#what").select_option("whole")
    page.locator("#download-factor").fill("60")
    page.locator("#start-download").click()
    page.wait_for_function("() => document.getElementById('download-message').textContent.includes('left')")
    session = next(reversed(server.sessions.by_token.values()))
    download = session.download
    assert page.locator("#cancel").inner_text() == "Cancel"
    page.locator("#cancel").click()
    for _ in range(200):
        if download.task.done():
            break
        page.wait_for_timeout(50)
    assert download.task.cancelled()


def test_a_picture_is_opened_and_another_file_is_refused_in_one_line(page):
    files = "#file"
    page.set_input_files(files, {"name": "note.png", "mimeType": "image/png", "buffer": b"no picture"})
    page.wait_for_selector("#message:not([hidden])")
    assert page.locator("#message").inner_text().startswith("note.png: not a readable picture")
    page.complaints.clear()  # the browser logs the error status
    content = png(33, 21)
    page.set_input_files(files, {"name": "new.png", "mimeType": "image/png", "buffer": content})
    page.wait_for_selector("#title:has-text('new.png')")
    settle(page)
    assert decode_picture(content, "").size == (33, 21)
    assert page.locator("#message").is_hidden()


def test_hardly_more_tiles_are_decoded_than_are_visible(page):
    set_split(page, 0)
    settle(page)
    asked = []
    page.on("request", lambda request: asked.append(request.url) if "/tile?" in request.url else None)
    page.locator("#zoom").fill("0.7")
    settle(page)
    canvas, (height, width), _ = shown(page)
    tiles = [dict(parse_qsl(urlsplit(url).query)) for url in dict.fromkeys(asked)]
    assert {(tile["lens"], tile["width"], tile["height"]) for tile in tiles} == {("0", str(width), str(height))}
    pixels = sum(int(tile["w"]) * int(tile["h"]) for tile in tiles)
    assert canvas[0].numel() <= pixels < 1.01 * canvas[0].numel()
