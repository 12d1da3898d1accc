"""Applying an encoder to a large image tile by tile."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from clit_plugin.archs.arbitrary_scale_arch import ArbitraryScaleArch
from clit_plugin.archs.encoders.registry import out_channels
from clit_plugin.fast.margins import Margins, encode_inside
from clit_plugin.inference.tiles import ALIGNMENT, TILE
from clit_plugin.utils.console import bar


class TiledEncoder(nn.Module):
    """Applies an encoder to tiles with a margin: its features grow with the image, but its activations do not.

    The features equal those of the whole image if the margin is at least the radius of the encoder's receptive field,
    34 pixels for EDSR-baseline. For a larger one, or global operations (RCAN's channel attention), they differ slightly
    at seams.

    Args:
        encoder: An encoder, as of ``build_encoder``.
        tile: Side of the tiles, a multiple of 8.
        margin: Width of the context around a tile, a multiple of 8.

    Raises:
        ValueError: ``tile`` or ``margin`` is not a multiple of 8, or ``tile`` is 0.
    """

    def __init__(self, encoder: nn.Module, *, tile: int = TILE, margin: int = 40) -> None:
        if tile < ALIGNMENT or tile % ALIGNMENT or margin < 0 or margin % ALIGNMENT:
            raise ValueError(f"tile and margin: expected multiples of {ALIGNMENT}, got {tile} and {margin}")
        super().__init__()
        self.encoder, self.tile, self.margin = encoder, tile, margin
        self.out_channels = out_channels(encoder)

    @torch.no_grad()
    def forward(self, x: Tensor) -> Tensor:
        """Features (B, out_channels, H, W) of an image (B, 3, H, W) in [-1, 1], without gradients."""
        height, width = x.shape[-2:]
        if max(height, width) <= self.tile + self.margin:
            return self.encoder(x)
        features = x.new_empty(len(x), self.out_channels, height, width)
        tiles = [(rows, columns) for rows in self._parts(height) for columns in self._parts(width)]
        for (rows, seen_rows), (columns, seen_columns) in bar(tiles, desc="encoder", unit="tile", leave=False):
            left, right = columns.start - seen_columns.start, seen_columns.stop - columns.stop
            margins = Margins(left, right, rows.start - seen_rows.start, seen_rows.stop - rows.stop)
            features[..., rows, columns] = encode_inside(self.encoder, x[..., seen_rows, seen_columns], margins)
        return features

    def _parts(self, length: int) -> Iterator[tuple[slice, slice]]:
        """The tiles of an axis, each with its input range."""
        for start in range(0, length, self.tile):
            stop = min(start + self.tile, length)
            yield slice(start, stop), slice(max(0, start - self.margin), min(length, stop + self.margin))


@contextmanager
def encoder_in_tiles(net: ArbitraryScaleArch, lq: Tensor, tile: int = TILE) -> Iterator[None]:
    """Within the block, the encoder of ``net`` runs in tiles if ``lq`` (..., H, W) exceeds ``tile``; 0: never."""
    encoder = net.encoder
    if 0 < tile < max(lq.shape[-2:]):
        net.encoder = TiledEncoder(encoder, tile=tile)
    try:
        yield
    finally:
        net.encoder = encoder
