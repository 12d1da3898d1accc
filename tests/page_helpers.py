"""The page as a browser shows it, compared with the network's output."""

import base64

from web_images import decoded

DONE = "#canvas[data-state=done]"
PATIENCE = 120_000  # ms, for a busy machine


def shown(page):
    """Content of the canvas (3, H, W), the output's size (H, W), and its origin on the canvas (y, x)."""
    canvas = page.locator("#canvas")
    width, height = canvas.get_attribute("data-size").split("x")
    x, y = canvas.get_attribute("data-origin").split(",")
    url = canvas.evaluate("canvas => canvas.toDataURL()")
    return decoded(base64.b64decode(url.partition(",")[2])), (int(height), int(width)), (int(y), int(x))


def compare(page, whole):
    """Largest difference between the visible part of an image and the image, and the number of visible pixels."""
    difference = differences(page, whole)
    return difference.max().item(), difference[0].numel()


def mean_difference(page, whole):
    """Mean difference between the visible part of an image and the image."""
    return differences(page, whole).mean().item()


def differences(page, whole):
    """Absolute differences (3, h, w) over the visible part of an image."""
    canvas, size, (y, x) = shown(page)
    assert whole.shape[-2:] == size
    top, left = max(0, y), max(0, x)
    part = canvas[:, top : min(canvas.shape[1], y + size[0]), left : min(canvas.shape[2], x + size[1])]
    expected = whole[:, top - y :, left - x :][:, : part.shape[1], : part.shape[2]]
    return (part - expected).abs()


def set_split(page, end):
    """Move the slider to an end: 0 left, 1 right."""
    page.locator("#split").press("Home" if end == 0 else "End")


def wheel(page, delta):
    """Turn the wheel, and wait until the canvas shows the new size."""
    before = page.locator("#canvas").get_attribute("data-size")
    page.mouse.wheel(0, delta)
    page.wait_for_function("size => document.getElementById('canvas').dataset.size !== size", arg=before)


def settle(page):
    """Wait until everything visible is decoded."""
    page.wait_for_timeout(50)
    page.wait_for_selector(DONE)
    page.wait_for_timeout(50)
