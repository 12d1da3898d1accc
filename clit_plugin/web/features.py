"""An encoder's features of the open pictures, computed once, and only where they are looked at."""

import itertools
import threading
from collections import OrderedDict

import torch
from torch import Tensor

from clit_plugin.archs.arbitrary_scale_arch import ArbitraryScaleArch
from clit_plugin.inference.tiled_encoder import encoder_in_tiles
from clit_plugin.ops.parts import Span

BLOCK = 32  # LR pixels
_LEAST = 3  # blocks a side that are computed at a time: at high factors the next tile is a few pixels away

Place = tuple[int, int]


class FeatureStore:
    """Blocks of features of all open pictures, those used last within one bound of memory.

    Args:
        most_bytes: How much is kept; one block is kept even beyond.
    """

    def __init__(self, *, most_bytes: int = 2**29) -> None:
        self.most_bytes, self.bytes = most_bytes, 0
        self.blocks: OrderedDict[tuple[int, Place], Tensor] = OrderedDict()
        self._owners = itertools.count()
        self._lock = threading.Lock()

    def owner(self) -> int:
        """A number that no other picture has."""
        return next(self._owners)

    def get(self, owner: int, place: Place) -> Tensor | None:
        """A block, or None."""
        with self._lock:
            if (owner, place) in self.blocks:
                self.blocks.move_to_end((owner, place))
            return self.blocks.get((owner, place))

    def put(self, owner: int, place: Place, block: Tensor) -> None:
        """Keep a block, in place of those that were unused longest."""
        with self._lock:
            self._remove((owner, place))
            self.blocks[owner, place] = block
            self.bytes += block.nbytes
            while self.bytes > self.most_bytes and len(self.blocks) > 1:
                self._remove(next(iter(self.blocks)))

    def drop(self, owner: int) -> None:
        """Forget a picture's blocks."""
        with self._lock:
            for key in [key for key in self.blocks if key[0] == owner]:
                self._remove(key)

    def _remove(self, key: tuple[int, Place]) -> None:
        block = self.blocks.pop(key, None)
        self.bytes -= 0 if block is None else block.nbytes


class KeptFeatures:
    """Features of a picture in square blocks.

    An encoder whose ``reach`` is unknown sees the whole picture at once, in tiles where ``clit upscale`` uses tiles.

    Args:
        net: The network.
        lq: (1, 3, H, W), RGB in [0, 1], on the network's device.
        store: Where blocks are kept.
    """

    def __init__(self, net: ArbitraryScaleArch, lq: Tensor, store: FeatureStore) -> None:
        self.net, self.lq, self.store = net, lq, store
        self.owner = store.owner()
        self.reach: int | None = getattr(net.encoder, "reach", None)
        self.side = max(lq.shape[-2:]) if self.reach is None else BLOCK

    def cut(self, rows: Span, columns: Span) -> Tensor:
        """Features (1, C, h, w) of some rows and columns of the picture."""
        side = self.side
        down, across = (range(start // side, -(-stop // side)) for start, stop in (rows, columns))
        places = [(y, x) for y in down for x in across]
        found = {place: block for place in places if (block := self.store.get(self.owner, place)) is not None}
        missing = [place for place in places if place not in found]
        if missing:
            found |= self._encode(*(self._span([place[axis] for place in missing], axis) for axis in (0, 1)))
        bands = [torch.cat([found[y, x] for x in across], -1) for y in down]
        top, left = down[0] * side, across[0] * side
        return torch.cat(bands, -2)[..., rows[0] - top : rows[1] - top, columns[0] - left : columns[1] - left]

    def forget(self) -> None:
        """Free what is kept of the picture."""
        self.store.drop(self.owner)

    def _span(self, indices: list[int], axis: int) -> Span:
        """The blocks of an axis to compute at a time: those of ``indices`` and, if they are few, their neighbours."""
        count = -(-self.lq.shape[axis - 2] // self.side)
        start, stop, least = min(indices), max(indices) + 1, min(_LEAST, count)
        if stop - start >= least:
            return start, stop
        start = max(0, min((start + stop - least) // 2, count - least))
        return start, start + least

    def _encode(self, down: Span, across: Span) -> dict[Place, Tensor]:
        """Compute, as one part of the picture, and keep a rectangle of blocks."""
        margin = 0 if self.reach is None else self.reach + 1  # a head may begin with a convolution, as CLIT's does
        seen, own = [], []
        for (first, last), n in zip((down, across), self.lq.shape[-2:], strict=True):
            start, stop = first * self.side, min(last * self.side, n)
            begin = max(0, start - margin)
            seen.append(slice(begin, min(n, stop + margin)))
            own.append(slice(start - begin, stop - begin))
        lq = self.lq[..., seen[0], seen[1]]
        if self.reach is None:
            with encoder_in_tiles(self.net, lq):
                features = self.net.encode(lq)
        else:
            features = self.net.encode(lq)
        bands = features[..., own[0], own[1]].split(self.side, -2)
        made = {}
        for y, band in zip(range(*down), bands, strict=True):
            for x, block in zip(range(*across), band.split(self.side, -1), strict=True):
                made[y, x] = block.clone()
                self.store.put(self.owner, (y, x), made[y, x])
        return made
