"""Reading and writing photographs of every common kind."""

import cv2
import numpy as np
import pytest
import torch
from PIL import Image, ImageCms, ImageOps

from clit_plugin.errors import UserError
from clit_plugin.inference.images import Picture, check_output_kind, read_picture, write_picture

RNG = np.random.default_rng(0)


def samples(*shape, dtype=np.uint8):
    return RNG.integers(0, np.iinfo(dtype).max + 1, shape, dtype=dtype)


def test_rgb_is_read_in_this_order_in_zero_to_one(tmp_path):
    Image.fromarray(np.uint8([[[255, 0, 51]]])).save(tmp_path / "a.png")
    picture = read_picture(tmp_path / "a.png")
    assert picture.size == (1, 1) and not picture.grey and picture.alpha is None
    torch.testing.assert_close(picture.rgb.flatten(), torch.tensor([1.0, 0.0, 0.2]))


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "LA"])
def test_8_bit_pictures_come_back_as_they_were(tmp_path, mode):
    channels = len(mode)
    image = samples(5, 7, channels) if channels > 1 else samples(5, 7)
    Image.fromarray(image).save(tmp_path / "a.png")
    write_picture(tmp_path / "b.png", read_picture(tmp_path / "a.png"))
    with Image.open(tmp_path / "b.png") as written:
        assert written.mode == mode
        np.testing.assert_array_equal(np.asarray(written), image)


@pytest.mark.parametrize("shape", [(5, 7), (5, 7, 3), (5, 7, 4)])
@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_16_bit_pictures_come_back_as_they_were(tmp_path, shape, suffix):
    image = samples(*shape, dtype=np.uint16)
    cv2.imwrite(str(tmp_path / f"a{suffix}"), image)
    write_picture(tmp_path / f"b{suffix}", read_picture(tmp_path / f"a{suffix}"))
    np.testing.assert_array_equal(cv2.imread(str(tmp_path / f"b{suffix}"), cv2.IMREAD_UNCHANGED), image)


def test_16_bits_become_8_in_a_jpeg(tmp_path):
    cv2.imwrite(str(tmp_path / "a.png"), np.full((8, 8, 3), 257 * 100, np.uint16))
    write_picture(tmp_path / "b.jpg", read_picture(tmp_path / "a.png"))
    assert abs(int(cv2.imread(str(tmp_path / "b.jpg"))[0, 0, 0]) - 100) <= 1


@pytest.mark.parametrize("suffix", [".png", ".tif", ".webp"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_carried_out_as_pillow_does(tmp_path, orientation, suffix):
    exif = Image.Exif()
    exif[0x0112] = orientation
    file = tmp_path / f"a{suffix}"
    Image.fromarray(samples(5, 7, 3)).save(file, exif=exif, **({"lossless": True} if suffix == ".webp" else {}))
    with Image.open(file) as image:
        expected = np.asarray(ImageOps.exif_transpose(image)).transpose(2, 0, 1) / np.float32(255)
    np.testing.assert_allclose(read_picture(file).rgb.numpy(), expected, rtol=0, atol=1e-6)


def test_a_16_bit_tiff_is_turned_upright(tmp_path):
    upright = np.arange(6, dtype=np.uint16).reshape(2, 3) * 1000
    exif = Image.Exif()
    exif[0x0112] = 6  # what is stored has to be turned to the right
    Image.fromarray(np.rot90(upright).copy()).save(tmp_path / "a.tif", exif=exif)
    np.testing.assert_array_equal((read_picture(tmp_path / "a.tif").rgb[0] * 65535).round().numpy(), upright)


def test_an_image_larger_than_its_format_is_refused_by_name(tmp_path):
    picture = Picture(rgb=torch.zeros(3, 1, 16384), alpha=None, grey=False, bits=8, profile=None)
    with pytest.raises(UserError, match=r"a\.webp: 16384x1 is more than \.webp holds"):
        check_output_kind(tmp_path / "a.webp", picture, "x.png", (1, 16384))
    with pytest.raises(UserError, match=r"a\.webp: cannot be written as \.webp"):
        write_picture(tmp_path / "a.webp", picture)
    check_output_kind(tmp_path / "a.webp", picture, "x.png", (1, 16383))


def test_a_colour_profile_is_kept(tmp_path):
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    Image.fromarray(samples(5, 7, 3)).save(tmp_path / "a.png", icc_profile=profile)
    write_picture(tmp_path / "b.jpg", read_picture(tmp_path / "a.png"))
    with Image.open(tmp_path / "b.jpg") as image:
        assert image.info["icc_profile"] == profile


def test_values_outside_zero_to_one_are_clamped(tmp_path):
    Image.fromarray(samples(1, 3)).save(tmp_path / "a.png")
    picture = read_picture(tmp_path / "a.png").resized(torch.tensor([-0.5, 0.5, 1.5]).expand(3, 1, 3))
    write_picture(tmp_path / "b.png", picture)
    assert np.asarray(Image.open(tmp_path / "b.png")).tolist() == [[0, 128, 255]]


def test_alpha_follows_the_size(tmp_path):
    image = samples(4, 4, 4)
    image[..., 3] = 51
    Image.fromarray(image).save(tmp_path / "a.png")
    picture = read_picture(tmp_path / "a.png").resized(torch.zeros(3, 9, 11))
    assert picture.alpha.shape == (1, 9, 11)
    torch.testing.assert_close(picture.alpha, torch.full((1, 9, 11), 0.2))


def test_transparency_in_a_jpeg_is_refused_by_name(tmp_path):
    Image.fromarray(samples(2, 2, 4)).save(tmp_path / "a.png")
    with pytest.raises(UserError, match=r"b\.jpg: \.jpg has no transparency, which a\.png has"):
        check_output_kind(tmp_path / "b.jpg", read_picture(tmp_path / "a.png"), "a.png", (2, 2))


@pytest.mark.parametrize("content", [b"", b"no image", b"\x89PNG\r\n\x1a\n damaged"])
def test_what_is_no_image_is_refused_by_name(tmp_path, content):
    (tmp_path / "a.png").write_bytes(content)
    with pytest.raises(UserError, match=r"a\.png: not a readable image"):
        read_picture(tmp_path / "a.png")


def test_float_samples_are_refused_by_name(tmp_path):
    Image.fromarray(np.zeros((2, 2), np.float32)).save(tmp_path / "a.tif")
    with pytest.raises(UserError, match=r"a\.tif: samples of float32"):
        read_picture(tmp_path / "a.tif")
