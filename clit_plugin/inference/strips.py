"""An image upscaled strip by strip, so that memory never holds all features or the whole output."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from clit_plugin.archs.arbitrary_scale_arch import ArbitraryScaleArch, Progress
from clit_plugin.inference.memory import is_out_of_memory
from clit_plugin.inference.tiled_encoder import encoder_in_tiles
from clit_plugin.inference.tiles import ALIGNMENT
from clit_plugin.inference.tiling import Piece, Tiling, cut, device_of, piece
from clit_plugin.ops.coordinates import Size
from clit_plugin.ops.parts import Part
from clit_plugin.ops.self_ensemble import upscale_ensemble, upscale_part_ensemble

_SMALLEST = 64  # side of the smallest tiles tried when memory runs out


@dataclass(frozen=True, kw_only=True)
class Work:
    """The inputs shared by all strips of an image.

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


def upscale_strips(work: Work, tiling: Tiling, smaller: Callable[[int], object] | None = None) -> Iterator[Tensor]:
    """The rows of the output, from top to bottom.

    If the device runs out of memory, the strip is computed again in tiles of half the side.

    Args:
        work: What to upscale.
        tiling: The tiles.
        smaller: Called with the new side when the tiles are halved.

    Yields:
        (3, rows, W_out) on the CPU, about [0, 1] and not clamped.

    Raises:
        RuntimeError: Even the smallest tiles do not fit into memory.
    """
    height, n_out = work.lq.shape[-2], work.size[0]
    top, carried = 0, torch.zeros(3, 0, work.size[1])
    while top < height:
        stop = cut(height - top, tiling.rows)[0][1] + top
        try:
            rows = piece(height, n_out, (top, stop), margin=tiling.margin, overlap=tiling.overlap)
            strip = _strip(work, rows, tiling)
        except RuntimeError as error:
            if not is_out_of_memory(error) or min(tiling.tile, tiling.rows) <= _SMALLEST:
                raise
            halves = [max(_SMALLEST, side // 2 // ALIGNMENT * ALIGNMENT) for side in (tiling.tile, tiling.rows)]
            tiling = replace(tiling, tile=halves[0], rows=halves[1])
        else:
            strip[:, : carried.shape[1]] += carried
            top = stop
            kept = strip.shape[1]
            if top < height:
                following = piece(height, n_out, (top, height), margin=tiling.margin, overlap=tiling.overlap)
                kept = following.made[0] - rows.made[0]
            carried = strip[:, kept:].clone()
            yield strip[:, :kept]
            continue
        if device_of(work.net).type == "cuda":
            torch.cuda.empty_cache()
        if smaller is not None:
            smaller(tiling.tile)


def upscale_whole(work: Work, tile: int) -> Tensor:
    """The whole output at once, (3, H_out, W_out) on the CPU, for networks that cannot compute parts.

    Args:
        work: What to upscale.
        tile: Side of the tiles in which the encoder processes the image; 0: no tiles.
    """
    net = work.net
    with encoder_in_tiles(net, work.lq, tile):
        image = upscale_ensemble(
            lambda lq, size: net.upscale(lq, size, max_queries=work.max_queries, progress=work.progress),
            work.lq[None].to(device_of(net)),
            work.size,
            work.views,
        )
    return image[0].cpu()


def _strip(work: Work, rows: Piece, tiling: Tiling) -> Tensor:
    """A strip's weighted output, (3, rows, W_out)."""
    width, n_out = work.lq.shape[-1], work.size[1]
    strip = torch.zeros(3, rows.made[1] - rows.made[0], n_out)
    done = 0.0

    def report(pixels: float) -> None:
        nonlocal done
        done += pixels
        if work.progress is not None:
            work.progress(pixels)

    try:
        for span in cut(width, tiling.tile):
            columns = piece(width, n_out, span, margin=tiling.margin, overlap=tiling.overlap)
            tile = _tile(work, rows, columns, report)
            if tiling.overlap:
                tile *= rows.weights.unsqueeze(-1) * columns.weights
            strip[..., slice(*columns.made)] += tile
    except RuntimeError:
        report(-done)
        raise
    return strip


def _tile(work: Work, rows: Piece, columns: Piece, progress: Progress) -> Tensor:
    net = work.net
    lq = work.lq[..., slice(*rows.seen), slice(*columns.seen)].to(device_of(net))[None]
    part = Part((work.lq.shape[-2], work.lq.shape[-1]), (rows.seen[0], columns.seen[0]), rows.made, columns.made)
    image = upscale_part_ensemble(
        lambda lq, size, part: net.upscale_part(lq, size, part, work.max_queries, progress),
        lq,
        work.size,
        part,
        work.views,
    )
    return image[0].float().cpu()
