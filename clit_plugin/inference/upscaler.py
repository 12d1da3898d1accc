"""Upscaling from Python: ``up = clit_plugin.load(); big = up(image, scale=3.4)``."""

import math
import sys
from collections.abc import Callable, Iterator, Sequence
from numbers import Integral, Real
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from clit_plugin.archs.arbitrary_scale_arch import ArbitraryScaleArch, Progress
from clit_plugin.inference.about import About
from clit_plugin.inference.apply import UpscaleOptions, strips_of, with_bar
from clit_plugin.inference.load_network import choose_device, load_described
from clit_plugin.inference.picture_files import Layout
from clit_plugin.inference.pictures import Picture, luma, to_pixels
from clit_plugin.inference.shipped import DEFAULT, weights_path
from clit_plugin.ops.coordinates import Size
from clit_plugin.ops.sizes import wxh
from clit_plugin.utils.console import in_notebook

ImageKind = TypeVar("ImageKind", np.ndarray, Image.Image)
_DTYPES = {np.dtype(np.uint8): 255, np.dtype(np.uint16): 65535, np.dtype(np.float32): 1}
_MODES = {"1": "L", "P": "RGB", "PA": "RGBA", "I;16L": "I;16", "I;16B": "I;16"}
_TRANSPARENT = {"1": "LA", "L": "LA", "P": "RGBA", "RGB": "RGBA"}  # of images that declare a transparent colour
_PILLOW = ("RGB", "RGBA", "L", "LA", "I;16")
_FLOATS = (-0.5, 1.5)  # beyond [0, 1] by more than filters overshoot, floats have another range


def load(
    weights: str | Path | None = None,
    *,
    option_file: str | Path | None = None,
    param_key: str | None = None,
    device: str | torch.device = "auto",
) -> "Upscaler":
    """Load weights to upscale images with.

    Args:
        weights: A .pth file in BasicSR's layout, a .safetensors file, or the name of weights of the package,
            ``clit_small`` (the default) or ``clit_small_photo``.
        option_file: Its ``custom_imports`` are imported; its ``network_g`` is used if the weights file has none.
        param_key: ``params`` or ``params_ema``; by default the averaged weights, ``params_ema``, if the file has them.
        device: Name of a torch device; ``auto`` is a GPU if available.

    Raises:
        UserError: A missing or unreadable file, weights that do not fit the network, or an unavailable device.
    """
    path = weights_path(DEFAULT if weights is None else weights)
    loaded = load_described(path, None if option_file is None else str(option_file), param_key=param_key)
    return Upscaler(loaded.net.to(choose_device(str(device), option="device=")), About.read(loaded.rest, path))


class Upscaler:
    """Upscales the images that it is called with.

    Args:
        net: A network in evaluation mode, on any device.
        about: Metadata of its weights.
    """

    def __init__(self, net: ArbitraryScaleArch, about: About) -> None:
        self.net, self.about = net, about

    def __repr__(self) -> str:
        device = next(self.net.parameters()).device
        return (
            f"Upscaler({self.about.name or type(self.net).__name__}, {self.about.summary() or 'any scale'}, {device})"
        )

    def __call__(
        self,
        image: ImageKind,
        *,
        scale: float | Sequence[float] | None = None,
        size: Sequence[int] | None = None,
        self_ensemble: bool = False,
        tile: int | None = None,
        max_memory: float | None = None,
        progress: bool | Callable[[float], object] | None = None,
    ) -> ImageKind:
        """Upscale one image.

        Args:
            image: A numpy array, uint8, uint16, or float32 in [0, 1]: (H, W), or (H, W, C) with 1 to 4 channels, which
                are grey, grey and alpha, RGB, or RGB and alpha. Or a Pillow image: grey or RGB, with or without alpha,
                with a palette, or 16-bit grey; its EXIF orientation is applied.
            scale: A factor of at least 1, or a pair (y, x).
            size: (height, width) of the output instead, in this order also for Pillow images.
            self_ensemble: Whether to average over 8 rotations and flips: slightly better, 8 times slower.
            tile: Side of the tiles in pixels, a multiple of 8; 0: the whole image; by default, as memory allows.
            max_memory: Bytes that the process may use on the network's device; by default most of the free memory.
            progress: A function that is called with the fraction done, 0 to 1, or whether to show a progress bar. By
                default, notebooks and terminals show one for images that take more than a moment.

        Returns:
            An image of the same kind; palettes become RGB, and a transparent colour alpha. Values are clamped to the
            range of the kind.

        Raises:
            TypeError: An unsupported kind of image or of ``progress``.
            ValueError: Both or neither of ``scale`` and ``size``, or values out of range.
            UserError: Not enough memory.
        """
        if isinstance(image, Image.Image):
            return self._pillow(image, scale, size, self_ensemble, tile, max_memory, progress)
        if not isinstance(image, np.ndarray):
            raise TypeError(f"image: expected a numpy array or a Pillow image, got {type(image).__name__}")
        image = _checked(image)
        if tile is not None and not (isinstance(tile, Integral) and tile >= 0 and tile % 8 == 0):
            raise ValueError(f"tile: expected a multiple of 8, or 0, got {tile}")
        if max_memory is not None and not (isinstance(max_memory, Real) and 0 < max_memory < math.inf):
            raise ValueError(f"max_memory: expected a positive number of bytes, such as 4e9, got {max_memory!r}")
        if not (progress is None or isinstance(progress, bool) or callable(progress)):
            raise TypeError(f"progress: expected True, False or a function, got {progress!r}")
        out_size = _out_size((image.shape[0], image.shape[1]), scale, size)
        options = UpscaleOptions(tile=tile, max_memory=max_memory, views=8 if self_ensemble else 1)
        return self._numpy(image, out_size, options, progress)

    def _pillow(self, image: Image.Image, *how: Any) -> Image.Image:
        image = ImageOps.exif_transpose(image)
        mode = _MODES.get(image.mode, image.mode)
        if "transparency" in image.info:
            mode = _TRANSPARENT.get(image.mode, mode)
        if mode not in _PILLOW:
            instead = "scale it to I;16 or L" if mode in ("I", "F") else "convert it to RGB"
            raise TypeError(f"image: Pillow's mode {image.mode} is not supported; {instead}")
        array = np.asarray(image.convert(mode))
        names = ("scale", "size", "self_ensemble", "tile", "max_memory", "progress")
        result = Image.fromarray(self(array, **dict(zip(names, how, strict=True))))
        if profile := image.info.get("icc_profile"):
            result.info["icc_profile"] = profile
        return result

    def _numpy(
        self, image: np.ndarray, size: Size, options: UpscaleOptions, progress: bool | Callable[[float], object] | None
    ) -> np.ndarray:
        picture, bits = _picture(image), 16 if image.dtype == np.uint16 else 8
        layout = Layout(size=size, grey=picture.grey, alpha=picture.alpha is not None, bits=bits)
        out, top = np.empty(0, image.dtype), 0
        for strip in self._strips(picture.rgb, size, options, image.itemsize * layout.channels, progress):
            if not top:  # the first strip: a size that does not fit into the memory has been refused
                out = np.empty((*size, layout.channels), image.dtype)
            rows = (top, top + strip.shape[1])
            alpha = picture.alpha_part(size, rows, (0, size[1]))
            if image.dtype == np.float32:
                out[top : rows[1]] = _floats(strip, alpha, grey=picture.grey)
            else:
                out[top : rows[1]] = np.atleast_3d(to_pixels(layout, strip, alpha))
            top = rows[1]
        return out.reshape(*size, *image.shape[2:])

    def _strips(
        self,
        rgb: Tensor,
        size: Size,
        options: UpscaleOptions,
        caller_bytes: int,
        progress: bool | Callable[[float], object] | None,
    ) -> Iterator[Tensor]:
        name = f"an image of {wxh((rgb.shape[-2], rgb.shape[-1]))}"
        done = 0.0

        def strips(progress: Progress | None) -> Iterator[Tensor]:
            return strips_of(
                self.net, rgb, size, name=name, options=options, caller_bytes=caller_bytes, progress=progress
            )

        def report(pixels: float) -> None:
            nonlocal done
            done += pixels
            assert callable(progress)
            progress(min(1.0, done / (size[0] * size[1])))

        if progress is None:
            progress = in_notebook() or sys.stderr.isatty()
        if not isinstance(progress, bool):
            yield from strips(report)
            progress(1.0)
        elif progress:
            yield from with_bar(strips, size, label=f"{wxh((rgb.shape[-2], rgb.shape[-1]))} to {wxh(size)}")
        else:
            yield from strips(None)


def _checked(image: np.ndarray) -> np.ndarray:
    """The image as a plain array in the byte order of this machine."""
    dtype = image.dtype.newbyteorder("=")
    if dtype not in _DTYPES:
        remedy = "convert it by image.astype(np.float32)" if dtype.kind == "f" else "convert it to one of them"
        raise TypeError(f"image: expected uint8, uint16 or float32, got {image.dtype}; {remedy}")
    if not (image.ndim == 2 or (image.ndim == 3 and 1 <= image.shape[2] <= 4)):
        last = "; move the channels to the end" if image.ndim == 3 and 1 <= image.shape[0] <= 4 else ""
        raise ValueError(f"image: expected (H, W), or (H, W, C) with 1 to 4 channels, got {image.shape}{last}")
    if not image.size:
        raise ValueError(f"image: is empty, of shape {image.shape}")
    if dtype == np.float32:
        low, high = float(image.min()), float(image.max())
        if not math.isfinite(low + high):
            raise ValueError("image: expected finite values, got NaN or infinity")
        if low < _FLOATS[0] or high > _FLOATS[1]:
            raise ValueError(f"image: expected float32 in [0, 1], got {low:g} to {high:g}; scale it, or pass integers")
    return np.asarray(image, dtype)


def _picture(image: np.ndarray) -> Picture:
    floats = torch.from_numpy(np.atleast_3d(image).transpose(2, 0, 1).astype(np.float32) / _DTYPES[image.dtype])
    grey = len(floats) <= 2
    rgb = floats[:1].repeat(3, 1, 1) if grey else floats[:3]
    return Picture(rgb=rgb.contiguous(), alpha=floats[-1:] if len(floats) in (2, 4) else None, grey=grey)


def _floats(rgb: Tensor, alpha: Tensor | None, *, grey: bool) -> np.ndarray:
    colours = luma(rgb) if grey else rgb
    image = colours if alpha is None else torch.cat([colours, alpha])
    return image.clamp(0, 1).permute(1, 2, 0).numpy()


def _out_size(image: Size, scale: float | Sequence[float] | None, size: Sequence[int] | None) -> Size:
    if (scale is None) == (size is None):
        raise ValueError("give either scale or size")
    if size is not None:
        pixels = _numbers(size)
        if len(pixels) != 2 or not all(n.is_integer() and n >= m for n, m in zip(pixels, image, strict=True)):
            raise ValueError(f"size: expected (height, width), at least the image's own {image}, got {size}")
        return int(pixels[0]), int(pixels[1])
    factors = _numbers(scale)
    if len(factors) not in (1, 2) or not all(math.isfinite(factor) and factor >= 1 for factor in factors):
        raise ValueError(f"scale: expected a factor of at least 1, or a pair (y, x), got {scale}")
    return round(image[0] * factors[0]), round(image[1] * factors[-1])


def _numbers(value: object) -> list[float]:
    """A number, or the numbers of a sequence, of Python, NumPy or torch; empty for anything else."""
    try:
        numbers = np.asarray(value)
    except (TypeError, ValueError):  # a nested sequence; a tensor on a GPU
        return []
    return numbers.astype(float).ravel().tolist() if numbers.dtype.kind in "iuf" and numbers.ndim < 2 else []
