"""The arguments of ``clit upscale`` that determine the output size."""

import argparse

from clit_plugin.inference.target_size import Target
from clit_plugin.utils.errors import UserError

_PAIR = "--scale-x with --scale-y"
_ONE_OF = f"give one of --scale, {_PAIR}, --percent, --width, --height, --long-side, --short-side, --fit and --size"
_LARGEST = 10000  # factor


def add_target_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options for the output size."""
    group = parser.add_argument_group(
        "output size", "one of these; all but --scale-x with --scale-y, and --stretch, keep the aspect ratio"
    )
    group.add_argument("--scale", metavar="S", type=_factor, help="factor for both axes, at least 1, such as 3.4")
    group.add_argument("--percent", metavar="P", type=_percent, help="the factor in percent, at least 100")
    group.add_argument("--width", metavar="W", type=int, help="width in pixels")
    group.add_argument("--height", metavar="H", type=int, help="height in pixels")
    group.add_argument("--long-side", metavar="L", type=int, help="the longer side in pixels")
    group.add_argument("--short-side", metavar="S", type=int, help="the shorter side in pixels")
    group.add_argument("--fit", metavar="WxH", help="the largest size within this width and height")
    group.add_argument("--scale-x", metavar="S", type=_factor, help="factor for the width; needs --scale-y")
    group.add_argument("--scale-y", metavar="S", type=_factor, help="factor for the height; needs --scale-x")
    group.add_argument("--size", metavar="WxH", help="exactly this width and height; refused if it would distort")
    group.add_argument("--stretch", action="store_true", help="allow --size to distort")


def parse_target(args: argparse.Namespace) -> Target:
    """The output size that the arguments ask for.

    Raises:
        UserError: None of the options, several of them, or a value out of range.
    """
    pair = (args.scale_y, args.scale_x)
    names = ("scale", "percent", "width", "height", "long_side", "short_side", "fit", "size")
    given = [name for name in names if getattr(args, name) is not None]
    said = [_option(name) for name in given] + [_PAIR] * (pair != (None, None))
    if not said:
        raise UserError(_ONE_OF)
    if len(said) > 1:
        raise UserError(f"give only one of {', '.join(said[:-1])} and {said[-1]}")
    if args.stretch and given != ["size"]:
        raise UserError("--stretch: needs --size; for one factor per axis, give --scale-x and --scale-y")
    if not given:
        if None in pair:
            raise UserError("--scale-x and --scale-y go together; give both, or --scale")
        return Target(kind="scale", values=_factors("--scale-x and --scale-y", pair))
    (kind,) = given
    option, value = _option(kind), getattr(args, kind)
    if kind in ("fit", "size"):
        return Target(kind=kind, values=parse_size(value, option), stretch=args.stretch)
    if kind == "scale":
        return Target(kind="scale", values=_factors(option, (value, value)))
    if kind == "percent":
        if not 100 <= value < 100 * _LARGEST:  # NaN is refused, too
            raise UserError(f"--percent: expected at least 100 and less than {100 * _LARGEST}, got {value:g}")
        return Target(kind="scale", values=(value / 100, value / 100))
    if value < 1:
        raise UserError(f"{option}: expected at least 1 pixel, got {value}")
    return Target(kind=kind, values=(value, value))


def _factor(text: str) -> float:
    """The number of 3.4, x3.4 or 3.4x."""
    return _number(text.strip("xX×"), text, "a factor, such as 3.4")


def _percent(text: str) -> float:
    return _number(text.rstrip("%"), text, "percent, such as 150")


def _number(digits: str, text: str, expected: str) -> float:
    try:
        return float(digits)
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected {expected}, got {text}") from None


def _option(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _factors(option: str, scales: tuple[float, float]) -> tuple[float, float]:
    if not all(1 <= scale < _LARGEST for scale in scales):  # NaN is refused, too
        given = " and ".join(f"{scale:g}" for scale in dict.fromkeys(scales[::-1]))
        raise UserError(f"{option}: expected at least 1 and less than {_LARGEST}, got {given}")
    return scales


def parse_size(text: str, where: str) -> tuple[int, int]:
    """(H, W) of ``WxH``. Raises UserError for anything but two positive integers."""
    width, _, height = text.lower().replace("×", "x").partition("x")
    if not (height.isdecimal() and width.isdecimal() and int(height) and int(width)):
        raise UserError(f"{where} {text}: expected WIDTHxHEIGHT in pixels, such as 1920x1080")
    return int(height), int(width)
