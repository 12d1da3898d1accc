"""An encoder's features of one picture, computed once, and only where they are looked at."""

from collections import OrderedDict

import torch
from torch import Tensor

from clit_plugin.archs.arbitrary_scale_arch import ArbitraryScaleArch
from clit_plugin.inference.tiled_encoder import encoder_in_tiles
from clit_plugin.ops.parts import Span

BLOCK = 192  # LR pixels


class KeptFeatures:
    """Features of a picture in square blocks, those used last within a bound of memory.

    An encoder whose ``reach`` is unknown sees the whole picture at once, in tiles where ``clit upscale`` uses tiles.

    Args:
        net: The network.
        lq: (1, 3, H, W), RGB in [0, 1], on the network's device.
        most_bytes: About how much is kept.
    """

    def __init__(self, net: ArbitraryScaleArch, lq: Tensor, *, most_bytes: int = 2**29) -> None:
        self.net, self.lq, self.most_bytes = net, lq, most_bytes
        self.reach: int | None = getattr(net.encoder, "reach", None)
        self.blocks: OrderedDict[tuple[int, int], Tensor] = OrderedDict()

    def cut(self, rows: Span, columns: Span) -> Tensor:
        """Features (1, C, h, w) of some rows and columns of the picture."""
        side = max(self.lq.shape[-2:]) if self.reach is None else BLOCK
        bands = []
        for y in range(rows[0] // side, -(-rows[1] // side)):
            band = []
            for x in range(columns[0] // side, -(-columns[1] // side)):
                top, left = y * side, x * side
                inside = [
                    slice(max(0, rows[0] - top), rows[1] - top),
                    slice(max(0, columns[0] - left), columns[1] - left),
                ]
                band.append(self._block((y, x), side)[..., inside[0], inside[1]])
            bands.append(torch.cat(band, -1))
        return torch.cat(bands, -2)

    def _block(self, place: tuple[int, int], side: int) -> Tensor:
        if place in self.blocks:
            self.blocks.move_to_end(place)
            return self.blocks[place]
        margin = 0 if self.reach is None else self.reach + 1  # a head may begin with a convolution, as CLIT's does
        seen, own = [], []
        for index, n in zip(place, self.lq.shape[-2:], strict=True):
            start, stop = index * side, min((index + 1) * side, n)
            first = max(0, start - margin)
            seen.append(slice(first, min(n, stop + margin)))
            own.append(slice(start - first, stop - first))
        block = self._encode(self.lq[..., seen[0], seen[1]])[..., own[0], own[1]].clone()
        self.blocks[place] = block
        size = block.numel() * block.element_size()
        while len(self.blocks) > 1 and len(self.blocks) * size > self.most_bytes:
            self.blocks.popitem(last=False)
        return block

    def _encode(self, lq: Tensor) -> Tensor:
        if self.reach is not None:  # blocks are small already
            return self.net.encode(lq)
        with encoder_in_tiles(self.net, lq):
            return self.net.encode(lq)
