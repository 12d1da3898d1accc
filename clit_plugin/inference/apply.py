"""Upscaling one image with a network, with a time estimate if it is slow, and a progress bar."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from clit_plugin.archs.arbitrary_scale_arch import ArbitraryScaleArch, Progress
from clit_plugin.inference.estimate import duration_text, estimate_seconds
from clit_plugin.inference.memory import budget, check_memory, choose_tiling, memory_errors
from clit_plugin.inference.strips import UpscaleJob, upscale_strips, upscale_whole
from clit_plugin.inference.tiles import TILE
from clit_plugin.inference.tiling import device_of
from clit_plugin.ops.coordinates import Size
from clit_plugin.ops.sizes import wxh
from clit_plugin.utils.console import AnyBar, bar, say
from clit_plugin.utils.errors import UserError

_MIN_ESTIMATE = 20.0  # seconds; shorter estimates are not printed


@dataclass(frozen=True, kw_only=True)
class UpscaleOptions:
    """How images are upscaled.

    Attributes:
        max_queries: As in ``ArbitraryScaleArch.upscale``.
        tile: Side of the tiles in LR pixels, a multiple of 8; 0: the whole image; None: as large as memory allows.
        max_memory: Bytes that the process may use on the network's device; None: most of the free memory.
        views: Views of the self-ensemble, see ``upscale_ensemble``; 1: no ensemble.
    """

    max_queries: int | None = None
    tile: int | None = None
    max_memory: float | None = None
    views: int = 1


def strips_of(
    net: ArbitraryScaleArch,
    rgb: Tensor,
    size: Size,
    *,
    name: str,
    options: UpscaleOptions,
    caller_bytes: int = 12,
    progress: Progress | None = None,
    label: str | None = None,
) -> Iterator[Tensor]:
    """Upscale one image, strip by strip.

    Args:
        net: The network, on any device.
        rgb: (3, H, W) in [0, 1], on any device.
        size: (H_out, W_out).
        name: The image's name in errors.
        options: Tiles, memory and self-ensemble.
        caller_bytes: Bytes per output pixel that the caller keeps; by default RGB in float32.
        progress: Called with the number of output pixels done since the last call, H_out * W_out in total.
        label: Prefix of the line with the time estimate; None: no estimate.

    Yields:
        (3, rows, W_out) on the CPU, about [0, 1] and not clamped, from top to bottom.

    Raises:
        UserError: Not enough memory, or an image too small for the encoder.
    """
    device, lq_size = device_of(net), (rgb.shape[-2], rgb.shape[-1])
    remedy = "use a smaller scale or a part of the image" + ("" if device.type == "cpu" else ", or --device cpu")
    try:
        with memory_errors(f"{name} to {wxh(size)}", device, remedy):
            if net.head_reach is None:
                check_memory(size, device, name=name)
            else:
                limit = budget(device, options.max_memory)
                tiling = choose_tiling(
                    net, lq_size, size, limit, tile=options.tile, caller_bytes=caller_bytes, name=name
                )
            if label is not None:
                seconds = estimate_seconds(net, rgb[None].to(device), size, max_queries=options.max_queries)
                if seconds is not None and seconds * options.views >= _MIN_ESTIMATE:
                    say(f"{label}: about {duration_text(seconds * options.views)}")
            job = UpscaleJob(
                net=net,
                lq=rgb,
                size=size,
                max_queries=options.max_queries,
                views=options.views,
                progress=None if progress is None else lambda pixels: progress(pixels / options.views),
            )
            if net.head_reach is None:
                yield upscale_whole(job, TILE if options.tile is None else options.tile)
            else:
                retry = f"{name}: not enough memory on {device}, retrying with tiles of"
                yield from upscale_strips(job, tiling, lambda side: say(f"{retry} {side}"))
    except (RuntimeError, ValueError) as error:  # from the padding or normalisation of an encoder
        if min(lq_size) < 16:
            raise UserError(f"{name}: {wxh(lq_size)} is too small for the encoder") from error
        raise


def with_bar(strips: Callable[[Progress], Iterator[Tensor]], size: Size, *, label: str) -> Iterator[Tensor]:
    """Yield strips under a progress bar that counts output pixels.

    Args:
        strips: Yields the strips, and calls its argument with the number of pixels done.
        size: (H_out, W_out).
        label: Text before the bar.
    """
    pixels = size[0] * size[1]
    progress: AnyBar
    with bar(total=pixels, desc=label, unit="pixel", unit_scale=True, leave=False, delay=0.5) as progress:
        yield from strips(progress.update)
        progress.update(pixels - progress.n)


def upscale_with_progress(
    net: ArbitraryScaleArch, rgb: Tensor, size: Size, *, label: str, name: str, options: UpscaleOptions | None = None
) -> Tensor:
    """The whole output of ``strips_of``, (3, H_out, W_out), with a time estimate and a progress bar."""
    check_memory(size, torch.device("cpu"), name=name)
    options = options or UpscaleOptions()

    def strips(progress: Progress) -> Iterator[Tensor]:
        return strips_of(net, rgb, size, name=name, options=options, progress=progress, label=label)

    return torch.cat(list(with_bar(strips, size, label=label)), 1)
