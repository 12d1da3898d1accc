"""Reading and writing photographs of every common kind."""

import os
import struct
import zlib

import cv2
import numpy as np
import pytest
import torch
from PIL import Image, ImageCms, ImageOps

from clit_plugin.data import image_header
from clit_plugin.data.image_source import ImageSource
from clit_plugin.data.lmdb_files.prepare import prepare_lmdb
from clit_plugin.inference.pictures import Picture, check_output_kind, picture_size, read_picture, write_picture
from clit_plugin.utils.errors import UserError

RNG = np.random.default_rng(0)


def samples(*shape, dtype=np.uint8):
    return RNG.integers(0, np.iinfo(dtype).max + 1, shape, dtype=dtype)


def test_pictures_are_read_as_rgb_in_zero_to_one(tmp_path):
    Image.fromarray(np.uint8([[[255, 0, 51]]])).save(tmp_path / "a.png")
    picture = read_picture(tmp_path / "a.png")
    assert picture.size == (1, 1) and not picture.grey and picture.alpha is None
    torch.testing.assert_close(picture.rgb.flatten(), torch.tensor([1.0, 0.0, 0.2]))


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "LA"])
def test_8_bit_pictures_round_trip(tmp_path, mode):
    channels = len(mode)
    image = samples(5, 7, channels) if channels > 1 else samples(5, 7)
    Image.fromarray(image).save(tmp_path / "a.png")
    write_picture(tmp_path / "b.png", read_picture(tmp_path / "a.png"))
    with Image.open(tmp_path / "b.png") as written:
        assert written.mode == mode
        np.testing.assert_array_equal(np.asarray(written), image)


@pytest.mark.parametrize("shape", [(5, 7), (5, 7, 3), (5, 7, 4)])
@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_16_bit_pictures_round_trip(tmp_path, shape, suffix):
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
def test_exif_orientation_is_applied_as_by_pillow(tmp_path, orientation, suffix):
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
    with pytest.raises(UserError, match=r"a\.webp: 16384x1 exceeds the 16383 pixels per side of \.webp"):
        check_output_kind(tmp_path / "a.webp", picture, "x.png", (1, 16384))
    with pytest.raises(UserError, match=r"a\.webp: 16384x1 exceeds the 16383 pixels per side of \.webp"):
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


def test_alpha_is_resized_with_the_colours(tmp_path):
    image = samples(4, 4, 4)
    image[..., 3] = 51
    Image.fromarray(image).save(tmp_path / "a.png")
    picture = read_picture(tmp_path / "a.png").resized(torch.zeros(3, 9, 11))
    assert picture.alpha.shape == (1, 9, 11)
    torch.testing.assert_close(picture.alpha, torch.full((1, 9, 11), 0.2))


def test_transparency_in_a_jpeg_is_refused_by_name(tmp_path):
    Image.fromarray(samples(2, 2, 4)).save(tmp_path / "a.png")
    with pytest.raises(UserError, match=r"b\.jpg: \.jpg cannot hold the transparency of a\.png"):
        check_output_kind(tmp_path / "b.jpg", read_picture(tmp_path / "a.png"), "a.png", (2, 2))


@pytest.mark.parametrize("content", [b"", b"no image", b"\x89PNG\r\n\x1a\n damaged"])
def test_a_file_that_is_not_an_image_is_refused_by_name(tmp_path, content):
    (tmp_path / "a.png").write_bytes(content)
    with pytest.raises(UserError, match=r"a\.png: not a readable image"):
        read_picture(tmp_path / "a.png")


def test_a_damaged_jpeg_is_named_and_used(tmp_path, capfd):
    Image.fromarray(samples(40, 60, 3)).save(tmp_path / "a.jpg")
    content = bytearray((tmp_path / "a.jpg").read_bytes())
    content[1000:1002] = b"\xff\xd3"  # a restart marker where none belongs
    (tmp_path / "a.jpg").write_bytes(content)
    assert read_picture(tmp_path / "a.jpg").size == (40, 60)
    said = capfd.readouterr().err
    assert said.startswith(f"{tmp_path / 'a.jpg'}: is damaged, and what is left of it is used (Corrupt JPEG data")
    assert said.count("\n") == 1


def test_a_truncated_png_is_a_single_line(tmp_path, capfd):
    Image.fromarray(samples(40, 60, 3)).save(tmp_path / "a.png")
    (tmp_path / "a.png").write_bytes((tmp_path / "a.png").read_bytes()[:3000])
    with pytest.raises(UserError, match=r"a\.png: not a readable image"):
        read_picture(tmp_path / "a.png")
    assert capfd.readouterr().err == ""


def test_float_samples_are_refused_by_name(tmp_path):
    Image.fromarray(np.zeros((2, 2), np.float32)).save(tmp_path / "a.tif")
    with pytest.raises(UserError, match=r"a\.tif: samples of float32"):
        read_picture(tmp_path / "a.tif")


# ---------------------------------------------------------------------- kinds that are easily misread


def write_png(path, pixels, bits, *, colour=0, chunks=()):
    """A PNG by hand: rows of sample values, and chunks before the pixels."""
    height, width = pixels.shape
    packed = np.unpackbits(pixels.astype(">u2" if bits == 16 else np.uint8).view(np.uint8).reshape(height, -1), axis=1)
    if bits < 8:  # the last bits of every byte
        packed = packed.reshape(height, width, 8)[..., 8 - bits :].reshape(height, -1)
    rows = b"".join(b"\0" + np.packbits(row).tobytes() for row in packed)
    header = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    parts = [(b"IHDR", header), *chunks, (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + b"".join(
            struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
            for name, data in parts
        )
    )


@pytest.mark.parametrize("bits", [1, 2, 4, 8, 16])
def test_a_grey_png_keeps_its_transparent_colour(tmp_path, bits):
    pixels = RNG.integers(0, 2**bits, (6, 9)) if bits < 8 else RNG.integers(0, 3, (6, 9)) * (2**bits // 3)
    clear = int(pixels[2, 3])
    write_png(tmp_path / "a.png", pixels, bits, chunks=[(b"tRNS", struct.pack(">H", clear))])
    picture = read_picture(tmp_path / "a.png")
    assert picture.grey and picture.alpha is not None
    np.testing.assert_array_equal(picture.alpha[0].numpy(), pixels != clear)
    np.testing.assert_allclose(picture.rgb[0].numpy(), pixels / (2**bits - 1), atol=1e-6)
    write_picture(tmp_path / "b.png", picture)
    with Image.open(tmp_path / "b.png") as written:
        np.testing.assert_array_equal(np.asarray(written.convert("RGBA"))[..., 3] > 0, pixels != clear)


@pytest.mark.parametrize("name", ["cmyk.jpg", "cmyk.tif", "lab.tif"])
def test_cmyk_and_lab_images_are_refused_everywhere(tmp_path, name):
    (tmp_path / "images").mkdir()
    file = tmp_path / "images" / name
    Image.fromarray(samples(8, 9, 3)).convert(file.stem.upper()).save(file)
    message = f"{name}: holds {file.stem.upper()} colours; convert it to RGB"
    with pytest.raises(UserError, match=message):
        read_picture(file)
    with pytest.raises(UserError, match=message):
        ImageSource(str(tmp_path / "images"))
    for convert in (False, True):
        with pytest.raises(UserError, match=message):
            prepare_lmdb(folder=tmp_path / "images", output=tmp_path / "x.lmdb", convert=convert)


@pytest.mark.parametrize("suffix", ["png", "webp", "tif", "gif"])
def test_the_first_frame_of_an_animation_is_read_with_a_warning(tmp_path, suffix, capsys):
    frames = [Image.fromarray(samples(8, 9)) for _ in range(3)]
    frames = [frame.convert("RGB") for frame in frames]
    options = {"lossless": True} if suffix == "webp" else {}
    file = tmp_path / f"a.{suffix}"
    frames[0].save(file, save_all=True, append_images=frames[1:], **options)
    picture = read_picture(file)
    assert f"{file}: holds 3 frames or pages; only the first is used" in capsys.readouterr().err
    np.testing.assert_allclose(picture.rgb.permute(1, 2, 0).numpy() * 255, np.asarray(frames[0]), atol=1e-3)


def test_a_training_folder_warns_of_animations_once(tmp_path, capsys):
    frames = [Image.fromarray(samples(8, 9, 3)) for _ in range(3)]
    for name in ("a.webp", "b.webp"):
        frames[0].save(tmp_path / name, save_all=True, append_images=frames[1:])
    for _ in range(2):
        ImageSource(str(tmp_path))
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "a.webp and 1 more hold several images each" in error


# ---------------------------------------------------------------------- large images, and those that only say so


def claim(path, size):
    """A PNG of one pixel whose header claims (H, W)."""
    write_png(path, np.zeros((1, 1)), 8, colour=0)
    content = bytearray(path.read_bytes())
    content[16:24] = struct.pack(">II", size[1], size[0])
    content[29:33] = struct.pack(">I", zlib.crc32(content[12:29]))
    path.write_bytes(content)


@pytest.mark.parametrize("size", [(60000, 60000), (2**20 + 1, 1), (2**15, 2**15 + 1)])
def test_more_pixels_than_can_be_decoded_are_refused_by_the_header(tmp_path, size):
    claim(tmp_path / "bomb.png", size)
    message = f"bomb.png: claims {size[1]}x{size[0]} pixels, more than can be decoded"
    for read in (read_picture, picture_size, lambda file: ImageSource(str(file.parent))):
        with pytest.raises(UserError, match=message):
            read(tmp_path / "bomb.png")


def test_an_image_that_exceeds_the_free_memory_is_refused_before_it_is_decoded(tmp_path, monkeypatch):
    claim(tmp_path / "large.png", (10000, 10000))
    monkeypatch.setattr(cv2, "imdecode", None)
    monkeypatch.setattr(image_header, "memory_left", lambda: 36 * 10**8 - 1)
    for read in (read_picture, picture_size):
        with pytest.raises(UserError, match=r"large\.png: claims 10000x10000 pixels, which take about 3\.6 GB"):
            read(tmp_path / "large.png")
    monkeypatch.setattr(image_header, "memory_left", lambda: 36 * 10**8)
    assert picture_size(tmp_path / "large.png") == (10000, 10000)


def test_an_image_beyond_pillows_limit_of_179_megapixels_is_listed(tmp_path):
    """Pillow takes it for a decompression bomb, unless its limit is lifted."""
    claim(tmp_path / "a.png", (13500, 13500))
    assert ImageSource(str(tmp_path)).sizes == {"a": (13500, 13500)}


def test_the_upright_size_is_known_without_decoding(tmp_path, monkeypatch):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(samples(5, 7, 3)).save(tmp_path / "a.jpg", exif=exif)
    assert picture_size(tmp_path / "a.jpg") == read_picture(tmp_path / "a.jpg").size == (7, 5)


def test_the_orientation_of_a_png_is_found_behind_its_pixels(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    write_png(tmp_path / "a.png", RNG.integers(0, 256, (5, 7)), 8)
    data = exif.tobytes().removeprefix(b"Exif\0\0")
    chunk = struct.pack(">I", len(data)) + b"eXIf" + data + struct.pack(">I", zlib.crc32(b"eXIf" + data))
    content = (tmp_path / "a.png").read_bytes()
    (tmp_path / "a.png").write_bytes(content[:-12] + chunk + content[-12:])
    assert read_picture(tmp_path / "a.png").size == (7, 5)


def test_a_named_pipe_is_refused_without_waiting(tmp_path):
    os.mkfifo(tmp_path / "a.png")
    with pytest.raises(UserError, match=r"a\.png: no such image; it is a folder, a pipe or a device"):
        read_picture(tmp_path / "a.png")
