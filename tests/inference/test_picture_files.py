"""Files written strip by strip, read back by Pillow and OpenCV."""

import io

import cv2
import numpy as np
import pytest
from PIL import Image, ImageCms

from clit_plugin.inference.picture_files import Layout, write_strips
from clit_plugin.inference.pictures import read_picture, write_picture
from clit_plugin.inference.png_rows import png_bytes

RNG = np.random.default_rng(0)
PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def samples(shape, dtype):
    """Smooth in one half, so that every filter has its rows, and noise in the other."""
    noise = RNG.integers(0, np.iinfo(dtype).max + 1, shape, dtype=dtype)
    ramp = np.cumsum(np.ones(shape, np.uint64) * 3, axis=1) + np.cumsum(np.ones(shape, np.uint64) * 5, axis=0)
    return np.where(np.arange(shape[0]).reshape(-1, *[1] * (len(shape) - 1)) % 16 < 8, ramp.astype(dtype), noise)


def strips(image, rows):
    return (image[top : top + rows] for top in range(0, len(image), rows))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("shape", [(37, 23), (1, 1), (37, 23, 3), (5, 301, 4), (40, 7, 2)])
@pytest.mark.parametrize("rows", [1, 7, 100])
def test_png_rows_are_read_back_unchanged(shape, dtype, rows):
    image = samples(shape, dtype)
    content = b"".join(png_bytes(strips(image, rows), shape[:2], PROFILE))
    read = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
    channels = shape[2] if len(shape) == 3 else 1
    if channels == 2:  # OpenCV makes it four
        read = read[..., [0, 3]]
    elif channels >= 3:
        read = cv2.cvtColor(read, cv2.COLOR_BGR2RGB if channels == 3 else cv2.COLOR_BGRA2RGBA)
    np.testing.assert_array_equal(read, image)
    with Image.open(io.BytesIO(content)) as opened:
        opened.verify()
        assert opened.info["icc_profile"] == PROFILE


def test_png_rows_of_smooth_images_compress_well():
    y, x = np.mgrid[:256, :256]
    image = np.stack([y, x, (x + y) // 2], -1).astype(np.uint8)
    assert len(b"".join(png_bytes([image], (256, 256)))) < image.nbytes / 40


@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize(("shape", "grey", "alpha"), [((9, 7), 1, 0), ((9, 7, 3), 0, 0), ((9, 7, 4), 0, 1)])
@pytest.mark.parametrize("bits", [8, 16])
def test_a_colour_profile_is_kept_for_every_format_and_bit_depth(tmp_path, suffix, shape, grey, alpha, bits):
    image = samples(shape, np.uint8 if bits == 8 else np.uint16)
    layout = Layout(size=shape[:2], grey=bool(grey), alpha=bool(alpha), bits=bits, profile=PROFILE)
    write_strips(tmp_path / f"a{suffix}", layout, strips(image, 2))
    picture = read_picture(tmp_path / f"a{suffix}")
    assert (picture.grey, picture.bits, picture.profile) == (bool(grey), bits, PROFILE)
    write_picture(tmp_path / f"b{suffix}", picture)
    again = read_picture(tmp_path / f"b{suffix}")
    assert again.profile == PROFILE
    np.testing.assert_array_equal((again.rgb * (2**bits - 1)).round(), (picture.rgb * (2**bits - 1)).round())


@pytest.mark.parametrize("suffix", [".jpg", ".webp"])
def test_a_lower_quality_makes_a_smaller_file(tmp_path, suffix):
    image = samples((64, 64, 3), np.uint8)
    sizes = []
    for quality in (None, 90, 30):
        file = tmp_path / f"{quality}{suffix}"
        write_strips(file, Layout(size=(64, 64)), strips(image, 10), quality=quality)
        sizes.append(file.stat().st_size)
    assert sizes == sorted(sizes, reverse=True) and sizes[0] > 1.5 * sizes[2]


def test_a_failed_write_leaves_no_file(tmp_path):
    def failing():
        yield np.zeros((3, 5, 3), np.uint8)
        raise KeyboardInterrupt

    for suffix in (".png", ".tif", ".jpg"):
        with pytest.raises(KeyboardInterrupt):
            write_strips(tmp_path / f"a{suffix}", Layout(size=(9, 5)), failing())
    assert list(tmp_path.iterdir()) == []
