"""An encoder's features of the open pictures, computed once, and only where they are looked at."""

import itertools
import threading
from collections import OrderedDict

import torch
from torch import Tensor

from clit_plugin.archs.arbitrary_scale_arch import ArbitraryScaleArch
from clit_plugin.fast.margins import Margins
from clit_plugin.inference.tiled_encoder import encoder_in_tiles
from clit_plugin.ops.parts import Span

BLOCK = 32  # LR pixels
_AT_A_TIME = 6  # blocks a side that are computed, if so many are seen: the margin around them is computed, too

Place = tuple[int, int]

_TILED = threading.Lock()  # one thread at a time may exchange a network's encoder


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
    """Features of a picture in square blocks, for several threads, each block computed by one of them.

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
        self._claimed: set[Place] = set()  # being computed
        self._changed = threading.Condition()

    def cut(self, rows: Span, columns: Span, seen: tuple[Span, Span] | None = None) -> Tensor:
        """Features (1, C, h, w) of some rows and columns of the picture.

        Args:
            rows: Rows.
            columns: Columns.
            seen: Rows and columns of which more will be asked soon: those that are close are computed as well.
        """
        down, across = self._blocks(rows), self._blocks(columns)
        places = [(y, x) for y in range(*down) for x in range(*across)]
        view = [self._blocks(span) for span in seen] if seen else [down, across]
        found: dict[Place, Tensor] = {}
        while missing := [place for place in places if place not in found]:
            with self._changed:
                found |= {place: block for place in missing if (block := self.store.get(self.owner, place)) is not None}
                left = [place for place in missing if place not in found]
                unclaimed = [place for place in left if place not in self._claimed]
                if left and not unclaimed:
                    self._changed.wait()
                if not unclaimed:
                    continue
                spans = self._together(unclaimed, view)
                own = {(y, x) for y in range(*spans[0]) for x in range(*spans[1])} - self._claimed
                self._claimed |= own
            try:
                found |= self._encode(*spans)
            finally:
                with self._changed:
                    self._claimed -= own
                    self._changed.notify_all()
        bands = [torch.cat([found[y, x] for x in range(*across)], -1) for y in range(*down)]
        top, left_edge = down[0] * self.side, across[0] * self.side
        cut = torch.cat(bands, -2)
        return cut[..., rows[0] - top : rows[1] - top, columns[0] - left_edge : columns[1] - left_edge]

    def forget(self) -> None:
        """Free what is kept of the picture."""
        self.store.drop(self.owner)

    def _blocks(self, span: Span) -> Span:
        """Of an axis."""
        return span[0] // self.side, -(-span[1] // self.side)

    def _together(self, missing: list[Place], view: list[Span]) -> list[Span]:
        """Rows and columns of blocks to compute at a time: the missing ones, and around them others that will be."""
        spans = [(min(place[axis] for place in missing), max(place[axis] for place in missing) + 1) for axis in (0, 1)]
        grown = True
        while grown:
            grown = False
            for axis, forwards in ((0, True), (1, True), (0, False), (1, False)):
                start, stop = spans[axis]
                line = stop if forwards else start - 1
                others = range(*spans[1 - axis])
                places = [(line, other) if axis == 0 else (other, line) for other in others]
                if stop - start < _AT_A_TIME and view[axis][0] <= line < view[axis][1] and self._mostly_missing(places):
                    spans[axis], grown = (min(start, line), max(stop, line + 1)), True
        return spans

    def _mostly_missing(self, places: list[Place]) -> bool:
        there = sum(place in self._claimed or self.store.get(self.owner, place) is not None for place in places)
        return 2 * there < len(places)

    def _encode(self, down: Span, across: Span) -> dict[Place, Tensor]:
        """Compute, as one part of the picture, and keep a rectangle of blocks."""
        margin = 0 if self.reach is None else self.reach + 1  # a head may begin with a convolution, as CLIT's does
        given, margins = [], []
        for (first, last), n in zip((across, down), (self.lq.shape[-1], self.lq.shape[-2]), strict=True):
            start, stop = first * self.side, min(last * self.side, n)
            given.append(slice(max(0, start - margin), min(n, stop + margin)))
            margins += [start - given[-1].start, given[-1].stop - stop]
        lq = self.lq[..., given[1], given[0]]
        if self.reach is None:
            with _TILED, encoder_in_tiles(self.net, lq):
                features = self.net.encode(lq)
        else:
            features = self.net.encode(lq, Margins(*margins))
        bands = features.split(self.side, -2)
        made = {}
        for y, band in zip(range(*down), bands, strict=True):
            for x, block in zip(range(*across), band.split(self.side, -1), strict=True):
                made[y, x] = block.clone()
                self.store.put(self.owner, (y, x), made[y, x])
        return made
