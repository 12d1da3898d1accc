"""Encoder features of the open pictures, cached in blocks and computed only where the page shows the picture."""

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
_MAX_BLOCKS = 6  # per side of a rectangle encoded at once; larger ones waste less on their margins but take longer

BlockIndex = tuple[int, int]  # (y, x), in blocks

_ENCODER_LOCK = threading.Lock()  # only one thread at a time may exchange a network's encoder


class FeatureStore:
    """Least-recently-used cache of the feature blocks of all open pictures.

    Args:
        max_bytes: Memory limit; a single block is kept even if it is larger.
    """

    def __init__(self, *, max_bytes: int = 2**29) -> None:
        self.max_bytes, self.bytes = max_bytes, 0
        self.blocks: OrderedDict[tuple[int, BlockIndex], Tensor] = OrderedDict()
        self._owners = itertools.count()
        self._lock = threading.Lock()

    def owner(self) -> int:
        """A new number that identifies a picture."""
        return next(self._owners)

    def get(self, owner: int, index: BlockIndex) -> Tensor | None:
        """A block, or None."""
        with self._lock:
            if (owner, index) in self.blocks:
                self.blocks.move_to_end((owner, index))
            return self.blocks.get((owner, index))

    def put(self, owner: int, index: BlockIndex, block: Tensor) -> None:
        """Store a block and evict the least recently used ones."""
        with self._lock:
            self._remove((owner, index))
            self.blocks[owner, index] = block
            self.bytes += block.nbytes
            while self.bytes > self.max_bytes and len(self.blocks) > 1:
                self._remove(next(iter(self.blocks)))

    def drop(self, owner: int) -> None:
        """Remove a picture's blocks."""
        with self._lock:
            for key in [key for key in self.blocks if key[0] == owner]:
                self._remove(key)

    def _remove(self, key: tuple[int, BlockIndex]) -> None:
        block = self.blocks.pop(key, None)
        self.bytes -= 0 if block is None else block.nbytes


class CachedFeatures:
    """Features of a picture in square blocks. Thread-safe; a thread waits for blocks that another one is computing.

    If the encoder's ``reach`` is unknown, the whole picture is a single block, encoded in tiles where ``clit upscale``
    uses tiles.

    Args:
        net: The network.
        lq: (1, 3, H, W), RGB in [0, 1], on the network's device.
        store: Cache of the blocks.
    """

    def __init__(self, net: ArbitraryScaleArch, lq: Tensor, store: FeatureStore) -> None:
        self.net, self.lq, self.store = net, lq, store
        self.owner = store.owner()
        self.reach: int | None = getattr(net.encoder, "reach", None)
        self.side = max(lq.shape[-2:]) if self.reach is None else BLOCK
        self._claimed: set[BlockIndex] = set()  # being computed
        self._open = True
        self._changed = threading.Condition()

    def crop(self, rows: Span, columns: Span, visible: tuple[Span, Span] | None = None) -> Tensor:
        """Features (1, C, h, w) of some rows and columns of the picture.

        Args:
            rows: Rows.
            columns: Columns.
            visible: Rows and columns that will be needed soon; missing blocks among them are computed along with
                adjacent ones.
        """
        down, across = self._blocks(rows), self._blocks(columns)
        needed = [(y, x) for y in range(*down) for x in range(*across)]
        view = [self._blocks(span) for span in visible] if visible else [down, across]
        found: dict[BlockIndex, Tensor] = {}
        while missing := [index for index in needed if index not in found]:
            with self._changed:
                found |= {index: block for index in missing if (block := self.store.get(self.owner, index)) is not None}
                left = [index for index in missing if index not in found]
                unclaimed = [index for index in left if index not in self._claimed]
                if left and not unclaimed:
                    self._changed.wait()
                if not unclaimed:
                    continue
                spans = self._grown(unclaimed, view)
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
        features = torch.cat(bands, -2)
        return features[..., rows[0] - top : rows[1] - top, columns[0] - left_edge : columns[1] - left_edge]

    def forget(self) -> None:
        """Free the picture's blocks; those that are still being computed will not be stored."""
        with self._changed:
            self._open = False
            self.store.drop(self.owner)

    def _blocks(self, span: Span) -> Span:
        """Blocks that overlap a span of an axis."""
        return span[0] // self.side, -(-span[1] // self.side)

    def _grown(self, missing: list[BlockIndex], view: list[Span]) -> list[Span]:
        """Rows and columns of blocks to encode at once: the missing ones, grown by adjacent missing ones in view."""
        spans = [(min(index[axis] for index in missing), max(index[axis] for index in missing) + 1) for axis in (0, 1)]
        grown = True
        while grown:
            grown = False
            for axis, forwards in ((0, True), (1, True), (0, False), (1, False)):
                start, stop = spans[axis]
                line = stop if forwards else start - 1
                others = range(*spans[1 - axis])
                blocks = [(line, other) if axis == 0 else (other, line) for other in others]
                in_view = view[axis][0] <= line < view[axis][1]
                if stop - start < _MAX_BLOCKS and in_view and self._mostly_missing(blocks):
                    spans[axis], grown = (min(start, line), max(stop, line + 1)), True
        return spans

    def _mostly_missing(self, blocks: list[BlockIndex]) -> bool:
        present = sum(index in self._claimed or self.store.get(self.owner, index) is not None for index in blocks)
        return 2 * present < len(blocks)

    def _encode(self, down: Span, across: Span) -> dict[BlockIndex, Tensor]:
        """Compute a rectangle of blocks in one pass, and store them."""
        margin = 0 if self.reach is None else self.reach + 1  # a head may begin with a convolution, as CLIT's does
        crop, margins = [], []
        for (first, last), n in zip((across, down), (self.lq.shape[-1], self.lq.shape[-2]), strict=True):
            start, stop = first * self.side, min(last * self.side, n)
            crop.append(slice(max(0, start - margin), min(n, stop + margin)))
            margins += [start - crop[-1].start, crop[-1].stop - stop]
        lq = self.lq[..., crop[1], crop[0]]
        if self.reach is None:
            with _ENCODER_LOCK, encoder_in_tiles(self.net, lq):
                features = self.net.encode(lq)
        else:
            features = self.net.encode(lq, Margins(*margins))
        bands = features.split(self.side, -2)
        blocks = {}
        for y, band in zip(range(*down), bands, strict=True):
            for x, block in zip(range(*across), band.split(self.side, -1), strict=True):
                blocks[y, x] = block.clone()
        with self._changed:
            for index, block in blocks.items() if self._open else ():
                self.store.put(self.owner, index, block)
        return blocks
