"""The output size of ``clit upscale``, from a factor or a size in pixels."""

from dataclasses import dataclass
from pathlib import Path

from clit_plugin.ops.sizes import scaled_size, wxh
from clit_plugin.utils.errors import UserError


@dataclass(frozen=True, kw_only=True)
class Target:
    """The requested output size.

    Attributes:
        kind: ``scale``, ``width``, ``height``, ``long_side``, ``short_side``, ``fit`` or ``size``.
        values: (y, x), factors or pixels.
        stretch: Whether ``size`` may distort the image.
    """

    kind: str
    values: tuple[float, float]
    stretch: bool = False

    def of(self, size: tuple[int, int], name: str | Path) -> tuple[int, int]:
        """(H, W) of the output for an image of ``size`` (H, W), each side rounded to whole pixels.

        Args:
            size: (H, W) of the image.
            name: The image's name in errors.

        Raises:
            UserError: The image is larger than the requested output, or ``size`` would distort it.
        """
        if self.kind == "scale":
            return round(size[0] * self.values[0]), round(size[1] * self.values[1])
        pixels = (int(self.values[0]), int(self.values[1]))
        if self.kind == "size":
            out = pixels
            if min(out[0] - size[0], out[1] - size[1]) >= 0 and not self.stretch and _distorts(size, out):
                raise UserError(
                    f"--size {wxh(out)}: would distort {name}, which is {wxh(size)}; --fit {wxh(out)} gives "
                    f"{wxh(scaled_size(size, _fitting(size, out)))}, --stretch allows the distortion"
                )
        else:
            ratios = (pixels[0] / size[0], pixels[1] / size[1])
            scale = {
                "height": ratios[0],
                "width": ratios[1],
                "long_side": min(ratios),
                "short_side": max(ratios),
                "fit": min(ratios),
            }[self.kind]
            out = scaled_size(size, scale)
        if out[0] < size[0] or out[1] < size[1]:
            value = wxh(pixels) if self.kind in ("size", "fit") else f"{pixels[0]}"
            option = f"--{self.kind.replace('_', '-')} {value}"
            raise UserError(f"{option}: smaller than {name}, which is {wxh(size)}; networks only enlarge")
        return out


def _fitting(size: tuple[int, int], box: tuple[int, int]) -> float:
    return min(box[0] / size[0], box[1] / size[1])


def _distorts(size: tuple[int, int], out: tuple[int, int]) -> bool:
    """Whether no single factor scales ``size`` to ``out``, up to rounding."""
    low = max((n_out - 0.5) / n for n, n_out in zip(size, out, strict=True))
    high = min((n_out + 0.5) / n for n, n_out in zip(size, out, strict=True))
    return low > high
