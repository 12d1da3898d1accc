"""Touch, dropped files, keyboard-only use, and the page on a phone."""

import io

import pytest
from page_helpers import DONE, PATIENCE, set_split, settle, shown
from PIL import Image
from web_images import png

from clit_plugin.ops.sizes import wxh


@pytest.fixture
def phone(browser, server):
    """The page on a phone-sized touch screen."""
    context = browser.new_context(viewport={"width": 360, "height": 640}, has_touch=True)
    page = context.new_page()
    page.set_default_timeout(PATIENCE)
    complaints = []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(f"http://127.0.0.1:{server.port}/")
    page.wait_for_selector(DONE)
    yield page
    context.close()
    assert not complaints


def touch(page, kind, *points):
    """Send a touch event with fingers at these points of the window."""
    fingers = [{"x": x, "y": y, "id": number} for number, (x, y) in enumerate(points)]
    page.touches.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": fingers})


def picture_point(page, x, y):
    """The point of the picture at a point of the window, as fractions of its width and height."""
    box = page.locator("#canvas").bounding_box()
    _, (height, width), (top, left) = shown(page)
    return (x - box["x"] - left) / width, (y - box["y"] - top) / height


def test_a_pinch_zooms_about_its_centre_and_pans(phone):
    phone.touches = phone.context.new_cdp_session(phone)
    before, (_, width), _ = picture_point(phone, 180, 300), *shown(phone)[1:]
    touch(phone, "touchStart", (160, 300), (200, 300))
    for step in range(1, 11):
        touch(phone, "touchMove", (160 - 6 * step, 300 - 2 * step), (200 + 4 * step, 300 - 2 * step))
    touch(phone, "touchEnd")
    settle(phone)
    assert shown(phone)[1][1] == pytest.approx(width * 140 / 40, rel=0.02)
    assert picture_point(phone, 170, 280) == pytest.approx(before, abs=0.01)
    phone.wait_for_timeout(400)
    assert phone.locator("#attention").is_hidden()


def test_a_finger_left_after_a_pinch_keeps_dragging_without_a_jump(page):
    page.evaluate("document.getElementById('canvas').setPointerCapture = () => {}")  # refuses fake pointers
    play = """(events) => events.forEach(([kind, pointerId, clientX, clientY]) =>
        document.getElementById("canvas").dispatchEvent(
            new PointerEvent(`pointer${kind}`, { pointerId, clientX, clientY, button: 0, bubbles: true })))"""
    page.locator("#zoom").fill("0.6")
    settle(page)
    three = [("down", 7, 420, 300), ("down", 8, 520, 300), ("down", 9, 470, 400)]
    page.evaluate(
        play, [*three, ("move", 8, 540, 340), ("move", 7, 425, 310), ("up", 9, 470, 400), ("up", 8, 540, 340)]
    )
    settle(page)
    _, size, (y, x) = shown(page)
    page.evaluate(play, [("move", 7, 435, 316), ("move", 7, 445, 322), ("up", 7, 445, 322)])
    settle(page)
    assert shown(page)[1:] == (size, (y + 12, x + 20))


def test_a_picture_fitted_to_the_window_stays_fitted_when_the_window_is_resized(page):
    page.set_viewport_size({"width": 900, "height": 400})
    page.wait_for_function("() => document.getElementById('canvas').width === 900")
    settle(page)
    box = page.locator("#canvas").bounding_box()
    assert shown(page)[1][0] == pytest.approx(box["height"], abs=1)
    page.keyboard.press("+")
    settle(page)
    zoomed = shown(page)[1]
    page.set_viewport_size({"width": 800, "height": 500})
    page.wait_for_function("() => document.getElementById('canvas').width === 800")
    settle(page)
    assert shown(page)[1] == zoomed


def test_a_double_click_zooms_and_shows_no_attention(page):
    before = shown(page)[1][1]
    page.mouse.dblclick(420, 250)
    page.wait_for_function(
        "width => parseInt(document.getElementById('canvas').dataset.size) > 1.9 * width", arg=before
    )
    page.wait_for_timeout(400)
    assert page.locator("#attention").is_hidden()


def test_a_dropped_file_is_opened(page, tmp_path):
    file = tmp_path / "dropped.png"
    file.write_bytes(png(33, 21))
    session = page.context.new_cdp_session(page)
    data = {"items": [], "files": [str(file)], "dragOperationsMask": 1}
    for kind in ("dragEnter", "dragOver"):
        session.send("Input.dispatchDragEvent", {"type": kind, "x": 300, "y": 250, "data": data})
    assert page.locator("body.dropping").count() == 1
    session.send("Input.dispatchDragEvent", {"type": "drop", "x": 300, "y": 250, "data": data})
    page.wait_for_selector("#title:has-text('dropped.png')")
    settle(page)
    _, (height, width), _ = shown(page)
    assert height / width == pytest.approx(33 / 21, rel=0.01)
    assert page.locator("body.dropping").count() == 0


def test_a_picture_is_pasted(page):
    paste = """(content) => {
        const clipboardData = new DataTransfer();
        clipboardData.items.add(new File([new Uint8Array(content)], "image.png"));
        document.body.dispatchEvent(new ClipboardEvent("paste", { clipboardData, bubbles: true }));
    }"""
    page.evaluate(paste, list(png(33, 21)))
    page.wait_for_selector("#title:has-text('image.png')")
    settle(page)


def test_of_two_pictures_dropped_at_once_the_last_one_stays(page, server):
    drop = """(name, content) => {
        const transfer = new DataTransfer();
        transfer.items.add(new File([new Uint8Array(content)], name));
        document.getElementById("stage").dispatchEvent(
            new DragEvent("drop", { dataTransfer: transfer, bubbles: true, cancelable: true }));
    }"""
    both = f"([first, last]) => {{ const drop = {drop}; drop('first.png', first); drop('last.png', last); }}"
    page.evaluate(both, [list(png(200, 300, seed=1)), list(png(20, 30, seed=2))])
    page.wait_for_selector("#title:has-text('last.png')")
    settle(page)
    for _ in range(100):
        names = [session.name for session in server.sessions.by_token.values()]
        if "first.png" not in names:
            break
        page.wait_for_timeout(50)
    assert page.locator("#title").inner_text() == "last.png"
    assert names[-1] == "last.png"
    assert "first.png" not in names


def test_the_keyboard_opens_zooms_pans_fits_and_shows_attention(page):
    canvas = page.locator("#canvas")
    before = canvas.get_attribute("data-size")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "file"
    choose = "file => file.addEventListener('click', (event) => { event.preventDefault(); file.dataset.chosen = 1; })"
    page.locator("#file").evaluate(choose)
    page.keyboard.press("Enter")
    page.wait_for_selector("#file[data-chosen]", state="attached")
    page.evaluate("document.activeElement.blur()")
    for key in ("+", "+", "ArrowLeft"):
        page.keyboard.press(key)
    page.wait_for_function("size => document.getElementById('canvas').dataset.size !== size", arg=before)
    settle(page)
    origin = shown(page)[2]
    page.keyboard.press("ArrowUp")
    settle(page)
    assert shown(page)[2] == pytest.approx((origin[0] + 64, origin[1]), abs=1)
    page.keyboard.press("Enter")
    page.wait_for_selector("#maps canvas")
    page.keyboard.press("Escape")
    assert page.locator("#attention").is_hidden()
    page.keyboard.press("0")
    settle(page)
    assert canvas.get_attribute("data-size") == before


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_shows_everything_without_scrolling_sideways(phone, scheme):
    phone.emulate_media(color_scheme=scheme)
    assert phone.evaluate("document.documentElement.scrollWidth") <= 360
    for name in ("open", "in", "out", "fit", "open-help", "left", "open-download", "split", "factor"):
        box = phone.locator(f"#{name}").bounding_box()
        assert box["x"] >= -15
        assert box["x"] + box["width"] <= 360 + 15
    bright = sum(Image.open(io.BytesIO(phone.locator("header").screenshot())).convert("L").histogram()[128:])
    assert (bright > 5000) == (scheme == "light")


def test_keys_work_after_a_file_was_chosen_and_beside_the_zoom_slider(page):
    page.set_input_files("#file", {"name": "new.png", "mimeType": "image/png", "buffer": png(33, 21)})
    page.wait_for_selector("#title:has-text('new.png')")
    settle(page)
    fitting = shown(page)[1]
    page.keyboard.press("+")
    page.wait_for_function("size => document.getElementById('canvas').dataset.size !== size", arg=wxh(fitting))
    page.locator("#zoom").focus()
    page.keyboard.press("0")
    page.wait_for_function("size => document.getElementById('canvas').dataset.size === size", arg=wxh(fitting))


def test_help_names_gestures_and_keys(page):
    page.keyboard.press("?")
    assert "Look inside" in page.locator("#help").inner_text()
    page.keyboard.press("]")  # moves nothing behind it
    page.keyboard.press("Escape")
    assert page.locator("#help").is_hidden()
    assert page.locator("#split").get_attribute("aria-valuenow") == "50"
    page.locator("#open-help").click()
    page.locator("#help button").click()
    assert page.locator("#help").is_hidden()


def test_the_slider_appears_with_the_first_picture(page, server, monkeypatch):
    monkeypatch.setattr(server, "initial", None)
    page.reload()
    page.wait_for_selector("#welcome")
    page.wait_for_selector("#left option", state="attached")  # the server has answered
    assert page.locator("#split").is_hidden()
    page.set_input_files("#file", {"name": "new.png", "mimeType": "image/png", "buffer": png(33, 21)})
    page.wait_for_selector(DONE)
    assert page.locator("#split").is_visible()


def test_of_two_clicks_the_attention_of_the_last_stays(page):
    set_split(page, 0)
    asked = []
    page.route("**/attention?*", lambda route: asked.append(route))
    for n, x in enumerate((300, 420), start=1):
        page.mouse.click(x, 250)
        page.wait_for_timeout(600)  # no double click
        assert len(asked) == n
    asked[1].continue_()
    page.wait_for_selector("#maps canvas")
    note = page.locator("#attention-note").inner_text()
    asked[0].continue_()
    page.wait_for_timeout(500)
    assert page.locator("#attention-note").inner_text() == note
