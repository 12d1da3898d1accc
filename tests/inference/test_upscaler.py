"""``clit_plugin.load`` and the upscaler that it gives."""

import numpy as np
import pytest
import torch
from inference_helpers import write_weights
from PIL import Image

import clit_plugin
from clit_plugin.ops.pixels import to_samples
from clit_plugin.utils import console
from clit_plugin.utils.errors import UserError

RNG = np.random.default_rng(0)


@pytest.fixture
def up(clit):
    return clit_plugin.load(clit[1], device="cpu")


def array(*shape, dtype=np.uint8):
    if dtype == np.float32:
        return RNG.random(shape, dtype=np.float32)
    return RNG.integers(0, np.iinfo(dtype).max + 1, shape, dtype=dtype)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("shape", [(9, 7), (9, 7, 3), (9, 7, 4)])
def test_an_array_becomes_an_array_of_the_same_kind(up, shape, dtype):
    image = array(*shape, dtype=dtype)
    before = image.copy()
    big = up(image, scale=3.4)
    assert big.shape == (31, 24, *shape[2:]) and big.dtype == dtype
    np.testing.assert_array_equal(image, before)


def test_the_pixels_are_the_networks(clit, up):
    image = array(9, 7, 3)
    lq = torch.from_numpy(image.transpose(2, 0, 1).astype(np.float32) / 255)[None]
    expected = clit[0].upscale(lq, (20, 30))[0]
    np.testing.assert_array_equal(up(image, size=(20, 30)), to_samples(expected))
    floats = up(image.astype(np.float32) / 255, size=(20, 30))
    np.testing.assert_allclose(floats, expected.clamp(0, 1).permute(1, 2, 0), atol=1e-6)
    sixteen = up(image.astype(np.uint16) * 257, size=(20, 30))
    np.testing.assert_allclose(sixteen / 65535, floats, atol=1e-5)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "LA", "P", "1", "I;16"])
def test_a_pillow_image_becomes_one_of_the_same_kind(up, mode):
    image = (
        Image.fromarray(array(9, 7, 3)).convert(mode)
        if mode != "I;16"
        else Image.fromarray(array(9, 7, dtype=np.uint16))
    )
    image.info["icc_profile"] = b"profile"
    big = up(image, scale=2)
    assert big.size == (14, 18) and big.mode == {"P": "RGB", "1": "L"}.get(mode, mode)
    assert big.info["icc_profile"] == b"profile"


@pytest.mark.parametrize(
    "kind",
    [
        np.asfortranarray,
        lambda image: image[::-1, ::-1].copy()[::-1, ::-1],
        lambda image: np.frombuffer(image.tobytes(), image.dtype).reshape(image.shape),  # read-only
        lambda image: image.astype(image.dtype.newbyteorder(">")),
        lambda image: np.ma.masked_array(image, image > 9),
    ],
    ids=["order", "strides", "read-only", "byte order", "subclass"],
)
@pytest.mark.parametrize("dtype", [np.uint16, np.float32])
def test_memory_layout_and_subclass_of_an_array_do_not_matter(up, kind, dtype):
    image = array(9, 7, 3, dtype=dtype)
    big = up(kind(image), scale=2)
    assert type(big) is np.ndarray and big.dtype == dtype
    np.testing.assert_array_equal(big, up(image, scale=2))


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_grey_and_alpha_match_a_grey_and_an_rgba_array(up, dtype):
    grey, alpha = array(9, 7, dtype=dtype), array(9, 7, dtype=dtype)
    big = up(np.stack([grey, alpha], -1), scale=2)
    np.testing.assert_array_equal(big[..., 0], up(grey, scale=2))
    np.testing.assert_array_equal(big[..., 1], up(np.stack([grey, grey, grey, alpha], -1), scale=2)[..., 3])


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_an_image_of_one_channel_keeps_one_channel(up, dtype):
    image = array(9, 7, 1, dtype=dtype)
    np.testing.assert_array_equal(up(image, scale=2)[..., 0], up(image[..., 0], scale=2))


@pytest.mark.parametrize(
    "scale", [np.float32(2.5), np.float64(2.5), np.array([2.5, 2.5]), torch.tensor(2.5), [2.5, 2.5]]
)
def test_scales_may_be_numbers_of_numpy_and_torch(up, scale):
    image = array(10, 8)
    np.testing.assert_array_equal(up(image, scale=scale), up(image, scale=2.5))


def test_a_photograph_is_turned_upright(up, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(array(9, 7, 3)).save(tmp_path / "photo.png", exif=exif)
    with Image.open(tmp_path / "photo.png") as photo:
        expected = up(np.rot90(np.asarray(photo), -1), scale=2)
        np.testing.assert_array_equal(np.asarray(up(photo, scale=2)), expected)


@pytest.mark.parametrize(("mode", "clear"), [("L", 9), ("RGB", (9, 8, 7)), ("P", 3)])
def test_a_transparent_colour_becomes_alpha(up, mode, clear):
    image = Image.new(mode, (7, 9), clear)
    image.paste(200, (0, 0, 7, 3))
    image.info["transparency"] = clear
    alpha = np.asarray(up(image, scale=2))[..., -1]
    assert (alpha[:4] > 250).all() and (alpha[-8:] == 0).all()


def test_a_scale_per_axis_tiles_and_the_self_ensemble_are_accepted(up):
    image = array(40, 30, 3, dtype=np.float32)
    whole = up(image, scale=(2, 3.5), tile=0)
    assert whole.shape == (80, 105, 3)
    np.testing.assert_allclose(up(image, scale=(2, 3.5), tile=16), whole, atol=1e-5)
    mean = up(image, scale=(2, 3.5), self_ensemble=True)
    turned = up(np.rot90(image).copy(), scale=(3.5, 2), self_ensemble=True)
    np.testing.assert_allclose(np.rot90(mean), turned, atol=1e-5)
    assert np.abs(mean - whole).max() > 1e-4


def test_progress_is_reported_from_zero_to_one(up):
    shares = []
    up(array(40, 30), scale=3, tile=16, progress=shares.append)
    assert len(shares) > 4 and shares == sorted(shares) and 0 < shares[0] < 1 and shares[-1] == 1


def test_a_progress_bar_is_shown_in_a_notebook(up, monkeypatch, capsys):
    monkeypatch.setitem(__import__("sys").modules, "ipykernel", object())
    assert console.in_notebook()
    with console.bar(total=2, desc="here", unit="pixel") as bar:
        bar.update(2)
    assert "here: 100%" in capsys.readouterr().err
    up(array(9, 7), scale=2)


def test_nothing_is_printed_outside_of_a_notebook(up, capsys):
    up(array(9, 7), scale=2)
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("image", "arguments", "kind", "message"),
    [
        (array(9, 7), {}, ValueError, "give either scale or size"),
        (array(9, 7), {"scale": 2, "size": (20, 20)}, ValueError, "give either scale or size"),
        (array(9, 7), {"scale": 0.5}, ValueError, "at least 1"),
        (array(9, 7), {"scale": float("nan")}, ValueError, "at least 1"),
        (array(9, 7), {"scale": (2, 3, 4)}, ValueError, r"\(y, x\)"),
        (array(9, 7), {"size": (8, 20)}, ValueError, "at least the image's own"),
        (array(9, 7), {"scale": 2, "tile": 12}, ValueError, "tile: expected a multiple of 8"),
        (array(9, 7, 5), {"scale": 2}, ValueError, r"\(H, W, C\) with 1 to 4 channels, got \(9, 7, 5\)"),
        (array(0, 7), {"scale": 2}, ValueError, r"image: is empty, of shape \(0, 7\)"),
        (np.full((9, 7), np.nan, np.float32), {"scale": 2}, ValueError, "finite"),
        (array(9, 7).astype(np.int64), {"scale": 2}, TypeError, "uint8, uint16 or float32, got int64"),
        ("photo.png", {"scale": 2}, TypeError, "numpy array or a Pillow image, got str"),
        (Image.new("CMYK", (5, 5)), {"scale": 2}, TypeError, "mode CMYK"),
        (array(9, 7), {"scale": 2, "max_memory": 1e6}, UserError, "from Python: max_memory"),
        (array(9, 7), {"scale": 2, "max_memory": "4GB"}, ValueError, "max_memory: expected a positive number of bytes"),
        (array(9, 7), {"scale": 1e9}, UserError, "use a smaller scale or size"),
        (array(9, 7), {"scale": "2"}, ValueError, "at least 1"),
        (array(9, 7), {"scale": True}, ValueError, "at least 1"),
        (array(9, 7), {"size": 34}, ValueError, r"\(height, width\)"),
        (array(9, 7), {"size": (float("nan"), 40)}, ValueError, r"\(height, width\)"),
        (array(9, 7), {"scale": 2, "tile": 8.5}, ValueError, "tile: expected a multiple of 8"),
        (array(9, 7), {"scale": 2, "progress": 1}, TypeError, "progress: expected True, False or a function"),
        (array(3, 9, 7), {"scale": 2}, ValueError, "move the channels to the end"),
        (array(9, 7).astype(np.float64), {"scale": 2}, TypeError, r"image\.astype\(np\.float32\)"),
        (array(9, 7).astype(np.float32), {"scale": 2}, ValueError, r"in \[0, 1\], got \d+ to 2\d\d; scale it"),
        (Image.new("F", (5, 5)), {"scale": 2}, TypeError, "mode F is not supported; scale it to I;16 or L"),
    ],
)
def test_invalid_images_and_arguments_are_refused(up, image, arguments, kind, message):
    with pytest.raises(kind, match=message):
        up(image, **arguments)


def test_an_unavailable_device_is_named_as_in_python(clit):
    with pytest.raises(UserError, match="^device=cuda:99: not available on this machine; use cpu or auto$"):
        clit_plugin.load(clit[1], device="cuda:99")


def test_the_shipped_weights_are_loaded_by_default():
    up = clit_plugin.load()
    assert up.about.name == "clit_small" and up.about.scale_range == (1, 16) and up.about.degradation == "pil"
    assert repr(up).startswith("Upscaler(clit_small, for x1 to x16 and images made by bicubic downsampling")


@pytest.mark.parametrize(
    ("about", "message"),
    [
        ([1], "about: expected a mapping"),
        ({"scale_range": [4, 1]}, "about.scale_range: expected two numbers"),
        ({"scale_range": "1-4"}, "about.scale_range: expected two numbers"),
        ({"scale_range": [0.5, 4]}, "about.scale_range: expected two numbers, 1 <= least <= most"),
        ({"degradation": 3}, "about.degradation: expected text"),
    ],
)
def test_weights_with_invalid_metadata_are_refused(tmp_path, about, message):
    write_weights(tmp_path / "w.pth", about=about)
    with pytest.raises(UserError, match=rf"w\.pth: {message}"):
        clit_plugin.load(tmp_path / "w.pth")


@pytest.mark.parametrize(
    ("lq", "size", "outside"),
    [
        ((10, 10), (40, 40), False),
        ((101, 99), (405, 397), False),
        ((10, 10), (41, 40), True),
        ((10, 10), (12, 12), True),
    ],
)
def test_a_scale_outside_the_training_is_reported(tmp_path, lq, size, outside):
    write_weights(tmp_path / "w.pth", about={"scale_range": [1.5, 4]})
    warning = clit_plugin.load(tmp_path / "w.pth").about.warning(lq, size)
    assert (warning is not None) == outside
    assert not outside or "outside the training scales, x1.5 to x4" in warning
