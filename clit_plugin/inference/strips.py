"""Upscaling an image strip by strip, so that memory never holds all features or the whole output."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from clit_plugin.archs.arbitrary_scale_arch import ArbitraryScaleArch, Progress
from clit_plugin.inference.memory import is_out_of_memory
from clit_plugin.inference.tiled_encoder import encoder_in_tiles
from clit_plugin.inference.tiles import ALIGNMENT
from clit_plugin.inference.tiling import AxisTile, Tiling, axis_tile, device_of, split_axis
from clit_plugin.ops.coordinates import Size
from clit_plugin.ops.parts import Part
from clit_plugin.ops.self_ensemble import upscale_ensemble, upscale_part_ensemble

_SMALLEST = 64  # side of the smallest tiles tried when memory runs out


@dataclass(frozen=True, kw_only=True)
class UpscaleJob:
    """An image to upscale, and how.

    Attributes:
        net: The network.
        lq: (3, H, W) in [0, 1], on any device.
        size: (H_out, W_out).
        max_queries: As in ``ArbitraryScaleArch.upscale``.
        views: Views of the self-ensemble, see ``upscale_ensemble``; 1: no ensemble.
        progress: Called with the number of output pixels done since the last call; every view counts.
    """

    net: ArbitraryScaleArch
    lq: Tensor
    size: Size
    max_queries: int | None = None
    views: int = 1
    progress: Progress | None = None


def upscale_strips(
    job: UpscaleJob, tiling: Tiling, on_halved: Callable[[int], object] | None = None
) -> Iterator[Tensor]:
    """The rows of the output, from top to bottom.

    If the device runs out of memory, the strip is computed again in tiles of half the side.

    Args:
        job: What to upscale.
        tiling: The tiles.
        on_halved: Called with the new side when the tiles are halved.

    Yields:
        (3, rows, W_out) on the CPU, about [0, 1] and not clamped.

    Raises:
        RuntimeError: Even the smallest tiles do not fit into memory.
    """
    height, n_out = job.lq.shape[-2], job.size[0]
    top, carried = 0, torch.zeros(3, 0, job.size[1])
    while top < height:
        stop = split_axis(height - top, tiling.rows)[0][1] + top
        try:
            rows = axis_tile(height, n_out, (top, stop), margin=tiling.margin, overlap=tiling.overlap)
            strip = _strip(job, rows, tiling)
        except RuntimeError as error:
            if not is_out_of_memory(error) or min(tiling.tile, tiling.rows) <= _SMALLEST:
                raise
            halves = [max(_SMALLEST, side // 2 // ALIGNMENT * ALIGNMENT) for side in (tiling.tile, tiling.rows)]
            tiling = replace(tiling, tile=halves[0], rows=halves[1])
        else:
            strip[:, : carried.shape[1]] += carried
            top = stop
            complete = strip.shape[1]
            if top < height:
                following = axis_tile(height, n_out, (top, height), margin=tiling.margin, overlap=tiling.overlap)
                complete = following.out_span[0] - rows.out_span[0]
            carried = strip[:, complete:].clone()  # blended with the next strip
            yield strip[:, :complete]
            continue
        if device_of(job.net).type == "cuda":
            torch.cuda.empty_cache()
        if on_halved is not None:
            on_halved(tiling.tile)


def upscale_whole(job: UpscaleJob, tile: int) -> Tensor:
    """The whole output at once, (3, H_out, W_out) on the CPU, for networks that cannot compute parts.

    Args:
        job: What to upscale.
        tile: Side of the tiles in which the encoder processes the image; 0: no tiles.
    """
    net = job.net
    with encoder_in_tiles(net, job.lq, tile):
        image = upscale_ensemble(
            lambda lq, size: net.upscale(lq, size, max_queries=job.max_queries, progress=job.progress),
            job.lq[None].to(device_of(net)),
            job.size,
            job.views,
        )
    return image[0].cpu()


def _strip(job: UpscaleJob, rows: AxisTile, tiling: Tiling) -> Tensor:
    """The weighted output of a strip, (3, rows, W_out)."""
    width, n_out = job.lq.shape[-1], job.size[1]
    strip = torch.zeros(3, rows.out_span[1] - rows.out_span[0], n_out)
    done = 0.0

    def report(pixels: float) -> None:
        nonlocal done
        done += pixels
        if job.progress is not None:
            job.progress(pixels)

    try:
        for span in split_axis(width, tiling.tile):
            columns = axis_tile(width, n_out, span, margin=tiling.margin, overlap=tiling.overlap)
            tile = _tile(job, rows, columns, report)
            if tiling.overlap:
                tile *= rows.weights.unsqueeze(-1) * columns.weights
            strip[..., slice(*columns.out_span)] += tile
    except RuntimeError:
        report(-done)
        raise
    return strip


def _tile(job: UpscaleJob, rows: AxisTile, columns: AxisTile, progress: Progress) -> Tensor:
    net = job.net
    lq = job.lq[..., slice(*rows.lr_span), slice(*columns.lr_span)].to(device_of(net))[None]
    origin = (rows.lr_span[0], columns.lr_span[0])
    part = Part((job.lq.shape[-2], job.lq.shape[-1]), origin, rows.out_span, columns.out_span)
    image = upscale_part_ensemble(
        lambda lq, size, part: net.upscale_part(lq, size, part, job.max_queries, progress),
        lq,
        job.size,
        part,
        job.views,
    )
    return image[0].float().cpu()
