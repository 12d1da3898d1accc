"""LR that looks like pictures from phones and the web: blur, downsampling, noise and JPEG, with BasicSR's functions.

First order, as the first half of Real-ESRGAN (Wang et al. 2021), but at any scale and on the CPU. All lengths are drawn
in LR pixels, so that an image is degraded alike at every scale.
"""

import hashlib
import math
import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import cv2
import numpy as np
from basicsr.data.degradations import add_gaussian_noise, add_poisson_noise, random_mixed_kernels
from PIL import Image

from clit_plugin.data.realistic_options import RealisticOptions
from clit_plugin.ops.bicubic import resize_bicubic

# Radius of a kernel in standard deviations, as in OpenCV.
_REACH = 3
# Side of JPEG's blocks with chroma at half the resolution.
_JPEG_BLOCK = 16


@dataclass(frozen=True, kw_only=True)
class Degradation:
    """The degradation of one image, in this order; None skips a step.

    Attributes:
        kernel: Shape of the blur kernel, a name of BasicSR's ``random_mixed_kernels``.
        sigma: Its standard deviations along its axes, in LR pixels; an isotropic kernel uses the first.
        beta_ranges: Exponents of generalized and of plateau kernels, [min, max] each.
        resize: ``area``, ``bilinear``, ``bicubic`` or ``lanczos``, all antialiased.
        gaussian: Standard deviation of Gaussian noise in grey levels of 255.
        poisson: Strength of Poisson noise; 1 corresponds to 256 photons at white.
        gray: Whether Gaussian and Poisson noise are the same in all channels.
        quality: JPEG quality, 1 to 100.
        seed: For what BasicSR draws: the kernel's orientation and exponent, and the noise.
    """

    kernel: str = "iso"
    sigma: tuple[float, float] | None = None
    beta_ranges: tuple[tuple[float, float], tuple[float, float]] = ((0.5, 4.0), (1.0, 2.0))
    resize: str = "bicubic"
    gaussian: float | None = None
    poisson: float | None = None
    gray: tuple[bool, bool] = (False, False)
    quality: int | None = None
    seed: int = 0

    def reduce(
        self, image: np.ndarray, size: tuple[int, int], window: tuple[int, int, int, int] | None = None
    ) -> np.ndarray:
        """Make LR from HR, or from a window of it.

        Args:
            image: (H, W, 3) uint8, RGB. The blur reads beyond the window, and mirrors at the image's borders.
            size: (h, w) of LR, at most that of the window.
            window: (top, left, height, width); by default the whole image. JPEG's blocks are aligned
                to the whole image.

        Returns:
            (h, w, 3) uint8, RGB.
        """
        top, left, height, width = window or (0, 0, *image.shape[:2])
        scales = height / size[0], width / size[1]
        with _global_generators(self.seed):
            crop = self._blur(image, (top, left, height, width), math.sqrt(scales[0] * scales[1]))
            lq = self._add_noise(_resize(crop, size, self.resize))
        if self.quality is None:
            return lq
        return _compress(lq, self.quality, offset=(round(top / scales[0]), round(left / scales[1])))

    def _blur(self, image: np.ndarray, window: tuple[int, int, int, int], scale: float) -> np.ndarray:
        """The window, blurred; ``scale`` is the geometric mean of the axes' scales."""
        top, left, height, width = window
        if self.sigma is None:
            return image[top : top + height, left : left + width]
        sigmas = [sigma * scale for sigma in self.sigma]
        radius = math.ceil(_REACH * max(sigmas))
        # BasicSR draws from ranges and asserts that they are not empty.
        ranges = [(sigma, math.nextafter(sigma, math.inf)) for sigma in sigmas]
        kernel = random_mixed_kernels(
            [self.kernel],
            [1.0],
            2 * radius + 1,
            sigma_x_range=ranges[0],
            sigma_y_range=ranges[1],
            betag_range=self.beta_ranges[0],
            betap_range=self.beta_ranges[1],
        )
        first_row, first_col = max(top - radius, 0), max(left - radius, 0)
        part = image[first_row : top + height + radius, first_col : left + width + radius]
        part, border = np.ascontiguousarray(part), cv2.BORDER_REFLECT_101
        if self.kernel == "iso":  # separable, which is five times as fast
            line = kernel.sum(axis=0)
            blurred = cv2.convertScaleAbs(cv2.sepFilter2D(part, cv2.CV_32F, line, line, borderType=border))
        else:
            blurred = cv2.filter2D(part, -1, kernel, borderType=border)
        top, left = top - first_row, left - first_col
        return blurred[top : top + height, left : left + width]

    def _add_noise(self, lq: np.ndarray) -> np.ndarray:
        if self.gaussian is None and self.poisson is None:
            return lq
        image = np.ascontiguousarray(lq[..., ::-1]).astype(np.float32) / 255  # BasicSR's images are BGR
        if self.gaussian is not None:
            image = add_gaussian_noise(image, self.gaussian, gray_noise=self.gray[0])
        if self.poisson is not None:
            # BasicSR infers the number of photons from how many grey levels an image has, and would drown a flat
            # patch in noise. A strip of all 256 levels below the patch makes the noise the same for all.
            strip = np.resize(np.arange(256, dtype=np.float32) / 255, (-(-256 // image.shape[1]), image.shape[1], 1))
            image = np.concatenate([image, np.repeat(strip, 3, axis=2)])
            image = add_poisson_noise(image, self.poisson, gray_noise=self.gray[1])[: len(lq)]
        return np.rint(image[..., ::-1] * 255).astype(np.uint8)


def make_lr(
    image: np.ndarray,
    size: tuple[int, int],
    degradation: str | Degradation,
    window: tuple[int, int, int, int] | None = None,
) -> np.ndarray:
    """Make LR from HR, or from a window of it.

    Args:
        image: (H, W, 3) uint8, RGB.
        size: (h, w) of LR.
        degradation: ``pil`` or ``matlab``, as in ``resize_bicubic``, or a drawn degradation.
        window: (top, left, height, width); by default the whole image.

    Returns:
        (h, w, 3) uint8, RGB.
    """
    if isinstance(degradation, Degradation):
        return degradation.reduce(image, size, window)
    top, left, height, width = window or (0, 0, *image.shape[:2])
    return resize_bicubic(image[top : top + height, left : left + width], size, degradation)


def draw_degradation(options: RealisticOptions, rng: np.random.Generator) -> Degradation:
    """Draw the degradation of one image.

    Args:
        options: Ranges and probabilities.
        rng: The number of draws is fixed, so that one option does not affect the outcome of the others.
    """
    seed = int(rng.integers(2**32, dtype=np.uint64))
    draws = iter(rng.random(14).tolist())

    def happens(probability: float) -> bool:
        return next(draws) < probability

    def within(limits: tuple[float, float]) -> float:
        return limits[0] + (limits[1] - limits[0]) * next(draws)

    clean, blurred = happens(options.clean_prob), happens(options.blur_prob)
    sigma = within(options.blur_sigma), within(options.blur_sigma)
    share = np.cumsum(options.kernel_prob) / sum(options.kernel_prob)
    kernel = options.kernel_list[min(int(np.searchsorted(share, next(draws), side="right")), len(share) - 1)]
    resize = options.resize_modes[int(next(draws) * len(options.resize_modes))]
    is_gaussian, gaussian = happens(options.gaussian_noise_prob), within(options.noise_range)
    is_poisson, poisson = happens(options.poisson_noise_prob), within(options.poisson_scale_range)
    gray = happens(options.gray_noise_prob), happens(options.gray_noise_prob)
    is_compressed, quality = happens(options.jpeg_prob), int(within((options.jpeg_range[0], options.jpeg_range[1] + 1)))
    if clean:
        return Degradation()
    return Degradation(
        kernel=kernel,
        sigma=sigma if blurred else None,
        beta_ranges=(options.betag_range, options.betap_range),
        resize=resize,
        gaussian=gaussian if is_gaussian else None,
        poisson=poisson if is_poisson else None,
        gray=gray,
        quality=quality if is_compressed else None,
        seed=seed,
    )


def draw_seeded(options: RealisticOptions, *entropy: int) -> Degradation:
    """Draw the degradation of one image from a generator seeded with ``entropy`` and the options' seed."""
    return draw_degradation(options, np.random.default_rng((*entropy, options.seed)))


def name_entropy(name: str) -> int:
    """What seeds the degradation of an image of a validation set: the same in every process, unlike ``hash``."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest(), "big")


@contextmanager
def _global_generators(seed: int) -> Iterator[None]:
    """Seed NumPy's and Python's global generators, which BasicSR uses; restore them afterwards."""
    numpy_state, python_state = np.random.get_state(), random.getstate()
    np.random.seed(seed)
    random.seed(seed)
    try:
        yield
    finally:
        np.random.set_state(numpy_state)
        random.setstate(python_state)


def _resize(image: np.ndarray, size: tuple[int, int], mode: str) -> np.ndarray:
    if mode == "bicubic":
        return resize_bicubic(image, size, "pil")
    if mode == "area":  # Pillow's box filter weighs whole pixels, and shifts the image at fractional scales
        return cv2.resize(np.ascontiguousarray(image), (size[1], size[0]), interpolation=cv2.INTER_AREA)
    kernels = {"bilinear": Image.Resampling.BILINEAR, "lanczos": Image.Resampling.LANCZOS}
    return np.asarray(Image.fromarray(image).resize((size[1], size[0]), kernels[mode]))


def _compress(image: np.ndarray, quality: int, *, offset: tuple[int, int]) -> np.ndarray:
    """JPEG with chroma at half the resolution; ``offset`` is the position of the RGB patch in its image."""
    top, left = (position % _JPEG_BLOCK for position in offset)
    padded = cv2.copyMakeBorder(image[..., ::-1].copy(), top, 0, left, 0, cv2.BORDER_REFLECT_101)
    coded = cv2.imencode(".jpg", padded, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    return np.asarray(cv2.imdecode(coded, cv2.IMREAD_COLOR))[top:, left:, ::-1]
