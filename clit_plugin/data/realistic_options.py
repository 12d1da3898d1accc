"""Options of ``degradation: {type: realistic, ...}``: LR that looks like pictures from phones and the web.

The names follow BasicSR's Real-ESRGAN options where those exist. The defaults are milder than Real-ESRGAN's (noise up
to 30 grey levels, JPEG from 30, all of it twice), which model pictures that were processed several times. Here it is
one lens, one downsampling, one sensor and one JPEG. A network trained on heavier degradations smooths away the texture
of better pictures. A Gaussian blur of 0.8 LR pixels leaves 4 % of the contrast at the Nyquist frequency, about what a
soft lens does; trained on more, a network takes whatever is smooth for blurred and sharpens it. A tenth of the samples
is downsampled only, so that clean pictures stay sharp.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from clit_plugin.utils.errors import UserError
from clit_plugin.utils.schema import key, parse

Kernel = Literal["iso", "aniso", "generalized_iso", "generalized_aniso", "plateau_iso", "plateau_aniso"]
Resize = Literal["area", "bilinear", "bicubic", "lanczos"]
_KERNELS = ["iso", "aniso", "generalized_iso", "generalized_aniso", "plateau_iso", "plateau_aniso"]


@dataclass(frozen=True, kw_only=True)
class RealisticOptions:
    """``degradation`` of a data set, as a mapping."""

    type: Literal["realistic"] = key("realistic: HR is blurred, downsampled, made noisy and JPEG-compressed")
    seed: int = key("seed of the random choices, combined with the image's name, or in training with the set's seed", 0)
    clean_prob: float = key("fraction of images that are only downsampled, with Pillow's bicubic kernel", 0.1)
    blur_prob: float = key("fraction of the others that is blurred", 0.8)
    blur_sigma: tuple[float, float] = key("standard deviation of the blur in LR pixels, [min, max]", [0.2, 0.8])
    kernel_list: list[Kernel] = key("shapes of the blur kernel, as in BasicSR's random_mixed_kernels", _KERNELS)
    kernel_prob: list[float] = key("their probabilities", [0.45, 0.25, 0.12, 0.03, 0.12, 0.03])
    betag_range: tuple[float, float] = key("exponent of generalized kernels, [min <= 1, max >= 1]", [0.5, 4.0])
    betap_range: tuple[float, float] = key("exponent of plateau kernels, [min <= 1, max >= 1]", [1.0, 2.0])
    resize_modes: list[Resize] = key(
        "downsampling filters, equally likely: area, bilinear, bicubic, lanczos, all antialiased",
        ["area", "bilinear", "bicubic", "lanczos"],
    )
    gaussian_noise_prob: float = key("fraction with Gaussian noise", 0.5)
    noise_range: tuple[float, float] = key("its standard deviation in grey levels of 255, [min, max]", [0.0, 15.0])
    poisson_noise_prob: float = key("fraction with Poisson noise", 0.3)
    poisson_scale_range: tuple[float, float] = key("its strength, [min, max]; 1 is 256 photons at white", [0.05, 0.5])
    gray_noise_prob: float = key("fraction of noisy images whose noise is the same in all channels", 0.4)
    jpeg_prob: float = key("fraction that is JPEG-compressed", 0.9)
    jpeg_range: tuple[int, int] = key("JPEG quality, [min, max]", [40, 95])

    def check(self, where: str) -> None:
        """Raise UserError for values out of range."""
        if not 0 <= self.seed < 2**32:
            raise UserError(f"{where}.seed: expected 0 to 2^32 - 1, got {self.seed}")
        for name, value in vars(self).items():
            if name.endswith("_prob") and name != "kernel_prob" and not 0 <= value <= 1:
                raise UserError(f"{where}.{name}: expected 0 to 1, got {value}")
        limits = {"blur_sigma": (0.01, 10), "noise_range": (0, 255), "poisson_scale_range": (0, 10)}
        limits |= {"jpeg_range": (1, 100), "betag_range": (0.1, 10), "betap_range": (0.1, 10)}
        for name, (lowest, highest) in limits.items():
            low, high = getattr(self, name)
            if not lowest <= low <= high <= highest:
                raise UserError(
                    f"{where}.{name}: expected [min, max] within {lowest:g} to {highest:g}, got {[low, high]}"
                )
            if name.startswith("beta") and not low <= 1 <= high:  # BasicSR draws from both sides of 1
                raise UserError(f"{where}.{name}: expected min <= 1 <= max, got {[low, high]}")
        for name in ("kernel_list", "resize_modes"):
            if not getattr(self, name):
                raise UserError(f"{where}.{name}: expected at least one")
        if len(self.kernel_prob) != len(self.kernel_list):
            raise UserError(
                f"{where}.kernel_prob: expected one number per entry of kernel_list, {len(self.kernel_list)}, "
                f"got {len(self.kernel_prob)}"
            )
        if min(self.kernel_prob) < 0 or sum(self.kernel_prob) <= 0:
            raise UserError(f"{where}.kernel_prob: expected numbers of at least 0, not all 0, got {self.kernel_prob}")


def parse_realistic(options: Mapping[str, Any], where: str) -> RealisticOptions:
    """Check ``{type: realistic, ...}``.

    Raises:
        UserError: An unknown key or a bad value.
    """
    parsed = parse(RealisticOptions, options, where)
    parsed.check(where)
    return parsed
