"""How large ``clit upscale`` makes an image: by a factor, or to a size that keeps the aspect ratio."""

import argparse
from dataclasses import dataclass
from pathlib import Path

from clit_plugin.errors import UserError
from clit_plugin.sizes import by, parse_size

_LARGEST = 10000  # factor
_ONE_OF = (
    "give one of --scale, --scale-x with --scale-y, --percent, --width, --height, --long-side, --short-side, --fit "
    "and --size"
)


def add_target_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the ways to say how large."""
    group = parser.add_argument_group(
        "how large", "one of these; all but --scale-x with --scale-y keep the aspect ratio"
    )
    group.add_argument("--scale", metavar="S", type=float, help="factor for both axes, at least 1; 3.4 for example")
    group.add_argument("--percent", metavar="P", type=float, help="the same in percent, at least 100")
    group.add_argument("--width", metavar="W", type=int, help="width in pixels")
    group.add_argument("--height", metavar="H", type=int, help="height in pixels")
    group.add_argument("--long-side", metavar="L", type=int, help="the longer side in pixels")
    group.add_argument("--short-side", metavar="S", type=int, help="the shorter side in pixels")
    group.add_argument("--fit", metavar="WxH", help="as large as fits into this width and height")
    group.add_argument("--scale-x", metavar="S", type=float, help="factor for the width; needs --scale-y")
    group.add_argument("--scale-y", metavar="S", type=float, help="factor for the height; needs --scale-x")
    group.add_argument("--size", metavar="WxH", help="exactly this width and height, refused where it would distort")
    group.add_argument("--stretch", action="store_true", help="let --size distort")


def parse_target(args: argparse.Namespace) -> "Target":
    """What the arguments ask for.

    Raises:
        UserError: None of them, several, or a value that makes no sense.
    """
    pair = (args.scale_y, args.scale_x)
    names = ("scale", "percent", "width", "height", "long_side", "short_side", "fit", "size")
    given = [name for name in names if getattr(args, name) is not None]
    if len(given) + (pair != (None, None)) != 1:
        raise UserError(_ONE_OF)
    if args.stretch and given != ["size"]:
        raise UserError("--stretch: goes with --size; nothing else could distort, but --scale-x and --scale-y")
    if not given:
        if None in pair:
            raise UserError("--scale-x and --scale-y go together; give both, or --scale")
        return Target(kind="scale", values=_factors("--scale-x and --scale-y", pair))
    (kind,) = given
    option, value = f"--{kind.replace('_', '-')}", getattr(args, kind)
    if kind in ("fit", "size"):
        return Target(kind=kind, values=parse_size(value, option), stretch=args.stretch)
    if kind == "scale":
        return Target(kind="scale", values=_factors(option, (value, value)))
    if kind == "percent":
        if not 100 <= value < 100 * _LARGEST:  # nor is nan
            raise UserError(f"--percent: expected at least 100 and less than {100 * _LARGEST}, got {value:g}")
        return Target(kind="scale", values=(value / 100, value / 100))
    if value < 1:
        raise UserError(f"{option}: expected at least 1 pixel, got {value}")
    return Target(kind=kind, values=(value, value))


@dataclass(frozen=True, kw_only=True)
class Target:
    """How large the output becomes.

    Attributes:
        kind: ``scale``, ``width``, ``height``, ``long_side``, ``short_side``, ``fit`` or ``size``.
        values: (y, x): factors, or pixels.
        stretch: Whether ``size`` may distort.
    """

    kind: str
    values: tuple[float, float]
    stretch: bool = False

    def of(self, size: tuple[int, int], name: str | Path) -> tuple[int, int]:
        """The output's (H, W) for an image of (H, W) ``size``, each side rounded to whole pixels.

        Raises:
            UserError: The image is larger than what is asked for, or ``size`` would distort it.
        """
        if self.kind == "scale":
            return round(size[0] * self.values[0]), round(size[1] * self.values[1])
        wanted = (int(self.values[0]), int(self.values[1]))
        if self.kind == "size":
            out = wanted
            if min(out[0] - size[0], out[1] - size[1]) >= 0 and not self.stretch and _distorts(size, out):
                raise UserError(
                    f"--size {by(out)}: would distort {name}, which is {by(size)}; --fit {by(out)} gives "
                    f"{by(_scaled(size, _fitting(size, out)))}, --stretch distorts"
                )
        else:
            ratios = (wanted[0] / size[0], wanted[1] / size[1])
            scale = {
                "height": ratios[0],
                "width": ratios[1],
                "long_side": min(ratios),
                "short_side": max(ratios),
                "fit": min(ratios),
            }[self.kind]
            out = _scaled(size, scale)
        if out[0] < size[0] or out[1] < size[1]:
            asked = by(wanted) if self.kind in ("size", "fit") else f"{wanted[0]}"
            raise UserError(
                f"--{self.kind.replace('_', '-')} {asked}: less than {name} has, which is {by(size)}; networks only "
                "enlarge"
            )
        return out


def _factors(option: str, scales: tuple[float, float]) -> tuple[float, float]:
    if not all(1 <= scale < _LARGEST for scale in scales):  # nor is nan
        told = " and ".join(f"{scale:g}" for scale in dict.fromkeys(scales[::-1]))
        raise UserError(f"{option}: expected at least 1 and less than {_LARGEST}, got {told}")
    return scales


def _fitting(size: tuple[int, int], box: tuple[int, int]) -> float:
    return min(box[0] / size[0], box[1] / size[1])


def _scaled(size: tuple[int, int], scale: float) -> tuple[int, int]:
    return round(size[0] * scale), round(size[1] * scale)


def _distorts(size: tuple[int, int], out: tuple[int, int]) -> bool:
    """Whether no one factor, its products rounded, makes ``out`` of ``size``."""
    least = max((n_out - 0.5) / n for n, n_out in zip(size, out, strict=True))
    most = min((n_out + 0.5) / n for n, n_out in zip(size, out, strict=True))
    return least > most
