"""``clit upscale``."""

import numpy as np
import pytest
import torch
from cli_process import torchrun
from inference_helpers import CLIT, LIIF, write_weights
from PIL import Image

from clit_plugin.archs.build import build_network
from clit_plugin.commands.cli import main
from clit_plugin.ops.pixels import to_samples

SMALL = {
    "EDSRBaseline": {"num_feat": 8, "num_block": 1},
    "RDN": {"num_feat": 8, "num_block": 1, "num_layer": 2, "growth": 4},
    "SwinIR": {"embed_dim": 12, "depths": [2], "num_heads": [2]},
    "RCAN": {"num_feat": 16, "num_group": 1, "num_block": 1},
}


@pytest.fixture
def photo(tmp_path):
    path = tmp_path / "photo.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (9, 13, 3), dtype=np.uint8)).save(path)
    return path


def command(*arguments):
    return main(["upscale", *(str(argument) for argument in arguments)])


def size_of(path):
    with Image.open(path) as image:
        return image.height, image.width


@pytest.mark.parametrize(
    ("arguments", "size"),
    [
        (["--scale", 3.4], (31, 44)),  # 30.6 and 44.2
        (["--scale", 1], (9, 13)),
        (["--scale-y", 2, "--scale-x", 3.5], (18, 46)),  # 45.5, rounded to even
        (["--size", "40x10", "--stretch"], (10, 40)),
        (["--height", 30], (30, 43)),  # 43.3
    ],
)
def test_the_written_file_has_the_pixels_of_the_network(clit, photo, tmp_path, arguments, size):
    net, weights = clit
    assert command(photo, "-o", tmp_path / "out.png", "--weights", weights, *arguments) == 0
    lq = torch.from_numpy(np.asarray(Image.open(photo)).transpose(2, 0, 1).astype(np.float32) / 255)
    expected = to_samples(net.upscale(lq[None], size)[0])
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "out.png")), expected)


def test_tiles_change_no_pixel_where_the_margin_covers_the_receptive_field(clit, tmp_path):
    large = tmp_path / "large.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (60, 70, 3), dtype=np.uint8)).save(large)
    for tile in (0, 16):
        out = tmp_path / f"{tile}.png"
        assert command(large, "-o", out, "--weights", clit[1], "--scale", 1.5, "--tile", tile) == 0
    np.testing.assert_array_equal(*(np.asarray(Image.open(tmp_path / f"{tile}.png")) for tile in (0, 16)))


def test_a_folder_is_upscaled_to_the_same_folder_tree(clit, photo, tmp_path):
    (tmp_path / "in" / "deep").mkdir(parents=True)
    Image.open(photo).save(tmp_path / "in" / "deep" / "a.jpg")
    Image.open(photo).convert("L").save(tmp_path / "in" / "b.png")
    assert command(tmp_path / "in", photo, "-o", tmp_path / "out", "--weights", clit[1], "--scale", 2) == 0
    written = sorted(path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*.*"))
    assert written == ["b.png", "deep/a.png", "photo.png"]
    assert Image.open(tmp_path / "out" / "b.png").mode == "L"


@pytest.mark.parametrize("network", [CLIT, LIIF, {**CLIT, "local_ensemble": True}, {**CLIT, "reference": True}])
def test_reported_progress_adds_up_to_the_image(network):
    net = build_network(network).eval()
    done = []
    net.upscale(torch.rand(1, 3, 6, 7), (31, 30), max_queries=100, progress=done.append)
    assert sum(done) == pytest.approx(0 if network.get("reference") else 31 * 30)
    assert network.get("reference") or len(done) > 5


@pytest.mark.parametrize("size", [(1, 1), (1, 5), (2, 3)])
@pytest.mark.parametrize("mode", ["RGB", "LA"])
def test_tiny_images_are_upscaled(clit, tmp_path, size, mode):
    Image.new(mode, (size[1], size[0])).save(tmp_path / "tiny.png")
    assert command(tmp_path / "tiny.png", "-o", tmp_path / "o.png", "--weights", clit[1], "--scale", 2.5) == 0
    assert size_of(tmp_path / "o.png") == tuple(round(2.5 * n) for n in size)


@pytest.mark.parametrize("encoder", SMALL)
def test_every_encoder_takes_one_pixel(tmp_path, encoder):
    write_weights(tmp_path / "w.pth", {**LIIF, "encoder": {"type": encoder, **SMALL[encoder]}})
    Image.new("RGB", (1, 1)).save(tmp_path / "tiny.png")
    assert command(tmp_path / "tiny.png", "-o", tmp_path / "o.png", "--weights", tmp_path / "w.pth", "--scale", 3) == 0


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ([], "give one of --scale"),
        (["--size", "90x8"], "--size 90x8: smaller than"),
        (["--size", "90x90"], "--size 90x90: would distort"),
        (["--scale", 2, "--max-queries", 0], "--max-queries: expected at least 1"),
        (["--scale", 2, "--tile", 100], "--tile: expected a multiple of 8, or 0"),
        (["--scale", 2, "--tile", -8], "--tile: expected a multiple of 8, or 0"),
        (["--scale", 2, "--device", "gpu"], "--device gpu: not available"),
    ],
)
def test_invalid_arguments_are_refused_in_one_line(clit, photo, tmp_path, capsys, arguments, error):
    assert command(photo, "-o", tmp_path / "out.png", "--weights", clit[1], *arguments) == 2
    errors = capsys.readouterr().err
    assert errors.count("\n") == 1 and error in errors
    assert not (tmp_path / "out.png").exists()


def test_existing_outputs_are_kept_without_overwrite(clit, photo, tmp_path, capsys):
    out = tmp_path / "out.png"
    out.write_bytes(b"precious")
    given = [photo, "-o", out, "--weights", clit[1], "--scale", 2]
    assert command(*given) == 2
    assert "out.png: already exists; --overwrite" in capsys.readouterr().err
    assert command(*given, "--skip-existing") == 0
    assert out.read_bytes() == b"precious"
    assert command(*given, "--overwrite") == 0
    assert size_of(out) == (18, 26)


def test_the_input_image_is_never_overwritten(clit, photo, tmp_path, capsys):
    given = ["--weights", clit[1], "--scale", 2, "--overwrite"]
    assert command(photo, "-o", photo, *given) == 2
    assert command(photo, "-o", tmp_path, *given) == 2
    assert capsys.readouterr().err.count(", the image itself; give another -o") == 2
    assert command(tmp_path, "-o", tmp_path / "up", *given) == 2
    assert "is inside" in capsys.readouterr().err


@pytest.mark.parametrize("given", [["pair/p.png", "pair/p.jpg"], ["pair"], ["pair/*"]])
def test_two_images_for_one_file_are_refused(clit, photo, tmp_path, monkeypatch, capsys, given):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pair").mkdir()
    for name in ("p.png", "p.jpg"):
        Image.open(photo).save(tmp_path / "pair" / name)
    assert command(*given, "-o", "out", "--weights", clit[1], "--scale", 2) == 2
    errors = capsys.readouterr().err
    assert "would both be written to out/p.png; rename one, or upscale each to its own -o" in errors
    assert not (tmp_path / "out").exists()


def test_long_names_of_images_in_a_folder_are_kept(clit, photo, tmp_path):
    name = "\u5199\u771f" * 40  # 240 bytes, more than the 511 of an LMDB's key when they are percent-encoded
    (tmp_path / "in").mkdir()
    Image.open(photo).save(tmp_path / "in" / f"{name}.png")
    assert command(tmp_path / "in", "-o", tmp_path / "out", "--weights", clit[1], "--scale", 1) == 0
    assert size_of(tmp_path / "out" / f"{name}.png") == (9, 13)


def test_a_damaged_image_does_not_stop_the_others(clit, photo, tmp_path, capsys):
    (tmp_path / "a.png").write_bytes(b"damaged")
    given = [tmp_path / "a.png", photo, "-o", tmp_path / "out", "--weights", clit[1], "--scale", 2]
    assert command(*given) == 1
    assert "1 of 2 images failed, the first" in capsys.readouterr().err
    assert size_of(tmp_path / "out" / "photo.png") == (18, 26)
    assert not (tmp_path / "out" / "a.png").exists()


def test_transparency_is_refused_for_a_jpeg_and_an_unknown_format_named(clit, tmp_path, capsys):
    Image.new("RGBA", (5, 5)).save(tmp_path / "a.png")
    given = ["--weights", clit[1], "--scale", 2]
    assert command(tmp_path / "a.png", "-o", tmp_path / "b.jpg", *given) == 2
    assert "cannot hold the transparency of" in capsys.readouterr().err
    assert command(tmp_path / "a.png", "-o", tmp_path / "b.gif", *given) == 2
    assert "b.gif: unknown image format" in capsys.readouterr().err


@pytest.mark.parametrize(("format_name", "said"), [("jpg", 1), ("webp", 1), ("png", 0), ("tiff", 0)])
def test_a_message_reports_once_that_16_bits_become_8(clit, tmp_path, capsys, format_name, said):
    (tmp_path / "in").mkdir()
    for name in "ab":
        Image.fromarray(np.full((5, 4), 40000, np.uint16)).save(tmp_path / "in" / f"{name}.png")
    given = [tmp_path / "in", "-o", tmp_path / "out", "--weights", clit[1], "--scale", 2, "--format", format_name]
    assert command(*given) == 0
    warning = f"a.png: has 16 bits per sample; .{format_name} holds 8, .png and .tiff keep all"
    errors = capsys.readouterr().err
    assert (errors.count(warning), errors.count("bits per sample")) == (said, said)


@pytest.mark.parametrize(("name", "suffix"), [("png", "PNG"), ("jpg", "JPEG"), ("webp", "WEBP"), ("tiff", "TIFF")])
def test_a_folder_is_written_in_the_requested_format(clit, photo, tmp_path, name, suffix):
    given = [photo, "-o", tmp_path / "out", "--weights", clit[1], "--scale", 2, "--format", name]
    assert command(*given) == 0
    with Image.open(tmp_path / "out" / f"photo.{name}") as image:
        assert image.format == suffix and image.size == (26, 18)


def test_a_glob_pattern_keeps_the_folders_below_its_fixed_part(clit, photo, tmp_path, capsys):
    for name in ("a/x.png", "a/b/y.png", "c/z.png"):
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        Image.open(photo).save(tmp_path / "in" / name)
    (tmp_path / "in" / "a" / "notes.txt").write_text("no image")
    given = ["-o", tmp_path / "out", "--weights", clit[1], "--scale", 1]
    assert command(tmp_path / "in" / "**" / "[xy].*", *given) == 0
    assert sorted(path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*.png")) == [
        "a/b/y.png",
        "a/x.png",
    ]
    assert command(tmp_path / "in" / "*" / "q*.png", *given) == 2
    assert "no image matches" in capsys.readouterr().err


def test_an_existing_file_with_brackets_in_its_name_is_not_a_pattern(clit, photo, tmp_path):
    named = tmp_path / "photo[1].png"
    Image.open(photo).save(named)
    assert command(named, "-o", tmp_path / "o.png", "--weights", clit[1], "--scale", 2) == 0
    assert size_of(tmp_path / "o.png") == (18, 26)


def test_the_shipped_weights_are_the_default_and_named(photo, tmp_path, capsys):
    assert command(photo, "-o", tmp_path / "o.png", "--scale", 20) == 0
    errors = capsys.readouterr().err
    assert "Weights: clit_small of the package, trained for x1 to x16 and images made by bicubic downsampling" in errors
    assert "photo.png: x20 is outside the training scales, x1 to x16" in errors
    assert command(photo, "-o", tmp_path / "p.png", "--scale", 4) == 0
    assert "outside" not in capsys.readouterr().err


def test_the_self_ensemble_changes_the_image_slightly(clit, photo, tmp_path):
    for name, more in (("a", []), ("b", ["--self-ensemble"])):
        assert command(photo, "-o", tmp_path / f"{name}.png", "--weights", clit[1], "--scale", 3, *more) == 0
    a, b = (np.asarray(Image.open(tmp_path / f"{name}.png")).astype(int) for name in "ab")
    assert a.shape == b.shape and 0 < np.abs(a - b).mean() < 40


def test_two_processes_share_a_folder_and_report_the_failures_of_both(clit, photo, tmp_path, commands):
    (tmp_path / "in").mkdir()
    for i in range(5):
        Image.open(photo).save(tmp_path / "in" / f"{i}.png")
    (tmp_path / "in" / "1.png").write_bytes(b"damaged")
    arguments = ["upscale", "in", "-o", "out", "--scale", "2", "--weights", str(clit[1])]
    result = torchrun(commands, tmp_path, "clit_plugin", *arguments)
    assert result.returncode == 1
    assert "1 of 5 images failed, the first: in/1.png: not a readable image" in result.stderr
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["0.png", "2.png", "3.png", "4.png"]
