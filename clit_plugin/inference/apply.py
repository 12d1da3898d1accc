"""A network applied to one image, with an estimate where it takes long and a bar that knows the time left."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from clit_plugin.archs.arbitrary_scale_arch import ArbitraryScaleArch, Progress
from clit_plugin.inference.estimate import estimate_seconds, told
from clit_plugin.inference.memory import budget, check_memory, choose_tiling, memory_errors
from clit_plugin.inference.strips import Work, upscale_strips, upscale_whole
from clit_plugin.inference.tiles import TILE
from clit_plugin.inference.tiling import device_of
from clit_plugin.ops.coordinates import Size
from clit_plugin.ops.sizes import by
from clit_plugin.utils.console import AnyBar, bar, say
from clit_plugin.utils.errors import UserError

_WORTH_TELLING = 20.0  # seconds


@dataclass(frozen=True, kw_only=True)
class Manner:
    """How images are upscaled.

    Attributes:
        max_queries: As in ``ArbitraryScaleArch.upscale``.
        tile: Side in LR pixels of the tiles, a multiple of 8; 0: the whole image; None: what the memory allows.
        max_memory: Bytes that the process may take where the network is; None: most of what is free.
        views: Of the self-ensemble, see ``upscale_ensemble``; 1: none.
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
    manner: Manner,
    kept: int = 12,
    progress: Progress | None = None,
    label: str | None = None,
) -> Iterator[Tensor]:
    """Upscale one image, strip by strip.

    Args:
        net: On any device.
        rgb: (3, H, W) in [0, 1], on any device.
        size: (H_out, W_out).
        name: What an error calls the image.
        manner: In which tiles, and so on.
        kept: Bytes a pixel of the output that the caller keeps, by default all in float32.
        progress: Is told how many pixels of the output are done since the last call, as a part of H_out * W_out.
        label: What a line begins with that tells how long the image will take; None: none is wanted.

    Yields:
        (3, rows, W_out) on the CPU, about [0, 1] and not clamped, from top to bottom.

    Raises:
        UserError: There is not the memory, or the encoder refuses so small an image.
    """
    device, lq_size = device_of(net), (rgb.shape[-2], rgb.shape[-1])
    remedy = "a smaller scale or a part of the image" + ("" if device.type == "cpu" else ", or --device cpu")
    try:
        with memory_errors(f"{name} to {by(size)}", device, remedy):
            if net.head_reach is None:
                check_memory(size, device, name=name)
            else:
                limit = budget(device, manner.max_memory)
                tiling = choose_tiling(net, lq_size, size, limit, tile=manner.tile, kept=kept, name=name)
            if label is not None:
                seconds = estimate_seconds(net, rgb[None].to(device), size, max_queries=manner.max_queries)
                if seconds is not None and seconds * manner.views >= _WORTH_TELLING:
                    say(f"{label}: about {told(seconds * manner.views)}")
            work = Work(
                net=net,
                lq=rgb,
                size=size,
                max_queries=manner.max_queries,
                views=manner.views,
                progress=None if progress is None else lambda pixels: progress(pixels / manner.views),
            )
            if net.head_reach is None:
                yield upscale_whole(work, TILE if manner.tile is None else manner.tile)
            else:
                retry = f"{name}: not enough memory on {device}, going on in tiles of"
                yield from upscale_strips(work, tiling, lambda side: say(f"{retry} {side}"))
    except (RuntimeError, ValueError) as error:  # an encoder's padding or normalisation
        if min(lq_size) < 16:
            raise UserError(f"{name}: {by(lq_size)} is too small for the encoder") from error
        raise


def with_bar(strips: Callable[[Progress], Iterator[Tensor]], size: Size, *, label: str) -> Iterator[Tensor]:
    """Strips, while a bar tells how many pixels are done.

    Args:
        strips: Makes them, and tells its argument of pixels.
        size: (H_out, W_out).
        label: What stands before the bar.
    """
    pixels = size[0] * size[1]
    progress: AnyBar
    with bar(total=pixels, desc=label, unit="pixel", unit_scale=True, leave=False, delay=0.5) as progress:
        yield from strips(progress.update)
        progress.update(pixels - progress.n)


def upscale_with_progress(
    net: ArbitraryScaleArch, rgb: Tensor, size: Size, *, label: str, name: str, manner: Manner | None = None
) -> Tensor:
    """The whole output of ``strips_of``, (3, H_out, W_out), with an estimate and a bar; arguments as there."""
    check_memory(size, torch.device("cpu"), name=name)
    manner = manner or Manner()
    strips = with_bar(
        lambda told: strips_of(net, rgb, size, name=name, manner=manner, progress=told, label=label), size, label=label
    )
    return torch.cat(list(strips), 1)
