"""How large ``clit upscale`` makes an image; sizes by hand, said as width x height."""

import argparse

import pytest

from clit_plugin.commands.target_arguments import add_target_arguments, parse_target
from clit_plugin.utils.errors import UserError


def target(*arguments):
    parser = argparse.ArgumentParser()
    add_target_arguments(parser)
    return parse_target(parser.parse_args(arguments))


@pytest.mark.parametrize(
    ("arguments", "size"),  # of an image 300 wide and 225 high
    [
        ("--scale 3.4", (1020, 765)),
        ("--scale x3.4", (1020, 765)),
        ("--scale 2x", (600, 450)),
        ("--percent 150%", (450, 338)),
        ("--fit 600×400", (533, 400)),
        ("--percent 150", (450, 338)),  # 337.5, rounded to even
        ("--scale-x 3.5 --scale-y 2", (1050, 450)),
        ("--width 1000", (1000, 750)),
        ("--width 301", (301, 226)),  # 225.75
        ("--height 300", (400, 300)),
        ("--long-side 640", (640, 480)),
        ("--short-side 640", (853, 640)),  # 853.33
        ("--fit 600x400", (533, 400)),  # 533.33
        ("--fit 400x600", (400, 300)),
        ("--size 600x450", (600, 450)),
        ("--size 601x450", (601, 450)),  # 450.75 by the width, 600 by the height; x2.002 rounds to both
        ("--size 600x400 --stretch", (600, 400)),
        ("--size 300x225", (300, 225)),
    ],
)
def test_an_output_has_the_requested_size(arguments, size):
    assert target(*arguments.split()).of((225, 300), "photo")[::-1] == size


@pytest.mark.parametrize(("option", "size"), [("--long-side", (480, 640)), ("--short-side", (640, 853))])
def test_long_and_short_sides_go_by_length_not_by_axis(option, size):
    assert target(option, "640").of((300, 225), "photo")[::-1] == size


@pytest.mark.parametrize("size", ["600x400", "602x450", "599x451", "400x600"])
def test_a_size_that_would_distort_is_refused_with_the_one_that_fits(size):
    with pytest.raises(UserError, match=f"--size {size}: would distort photo, which is 300x225; --fit {size} gives "):
        target("--size", size).of((225, 300), "photo")


def test_the_refusal_names_the_undistorted_size():
    with pytest.raises(UserError, match="--fit 600x400 gives 533x400, --stretch allows the distortion"):
        target("--size", "600x400").of((225, 300), "photo")


@pytest.mark.parametrize(
    "arguments",
    ["--width 299", "--height 224", "--long-side 299", "--short-side 224", "--fit 299x1000", "--fit 1000x224"]
    + ["--size 299x225", "--size 600x224 --stretch"],
)
def test_downscaling_is_refused(arguments):
    option, value = arguments.split()[:2]
    with pytest.raises(UserError, match=f"{option} {value}: smaller than photo, which is 300x225"):
        target(*arguments.split()).of((225, 300), "photo")


@pytest.mark.parametrize("arguments", ["--width 300", "--height 225", "--fit 300x225", "--fit 300x1000"])
def test_the_images_own_size_is_accepted(arguments):
    assert target(*arguments.split()).of((225, 300), "photo") == (225, 300)


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ("", "give one of --scale, --scale-x with --scale-y, --percent, --width"),
        ("--scale 2 --size 9x9", "give only one of --scale and --size$"),
        ("--short-side 9 --width 9 --fit 9x9", "give only one of --width, --short-side and --fit$"),
        ("--scale 2 --scale-x 2", "give only one of --scale and --scale-x with --scale-y$"),
        ("--scale-y 2", "--scale-x and --scale-y go together"),
        ("--scale 0.5", "--scale: expected at least 1 and less than 10000, got 0.5"),
        (
            "--scale-x 0.5 --scale-y 2",
            "--scale-x and --scale-y: expected at least 1 and less than 10000, got 0.5 and 2",
        ),
        ("--scale nan", "--scale: expected at least 1 and less than 10000, got nan"),
        ("--scale inf", "--scale: expected at least 1 and less than 10000, got inf"),
        ("--percent 99", "--percent: expected at least 100 and less than 1000000, got 99"),
        ("--width 0", "--width: expected at least 1 pixel, got 0"),
        ("--size 20", "--size 20: expected WIDTHxHEIGHT"),
        ("--fit 20x", "--fit 20x: expected WIDTHxHEIGHT"),
        ("--scale 2 --stretch", "--stretch: needs --size"),
    ],
)
def test_invalid_arguments_are_refused(arguments, error):
    with pytest.raises(UserError, match=error):
        target(*arguments.split())
