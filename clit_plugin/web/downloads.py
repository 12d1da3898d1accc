"""Files in the making."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from clit_plugin.ops.parts import Span
from clit_plugin.utils.errors import UserError
from clit_plugin.web.guard import RefusedError
from clit_plugin.web.images import FORMATS, encode_image, samples_of
from clit_plugin.web.scene import Scene
from clit_plugin.web.wanted import LONGEST_TILE, Order, Region
from clit_plugin.web.worker import Worker


@dataclass
class Download:
    """A file in the making.

    Attributes:
        order: What is to be made.
        name: Which the browser gives the file.
        done: Pixels computed so far.
        content: The file, once it is there.
        error: Why it failed, in one line.
        task: What makes it.
    """

    order: Order
    name: str
    done: int = 0
    content: bytes | None = None
    error: str | None = None
    task: "asyncio.Task[None] | None" = None

    @classmethod
    def of(cls, order: Order, picture: str) -> "Download":
        """One of a picture of that name."""
        height, width = order.region.shape
        suffix = {"jpeg": "jpg"}.get(order.kind, order.kind)
        return cls(order, f"{picture.rpartition('.')[0] or picture}_{width}x{height}.{suffix}")

    @property
    def pixels(self) -> int:
        """To be computed."""
        height, width = self.order.region.shape
        return height * width

    @property
    def media_type(self) -> str:
        """Of the file."""
        return FORMATS[self.order.kind]

    def cancel(self) -> None:
        """Stop, and forget the file."""
        self.content = None
        if self.task is not None:
            self.task.cancel()


@dataclass
class Maker:
    """Makes files one after another, so that one is in memory at a time."""

    worker: Worker
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)

    def begin(self, download: Download, scene: Scene) -> None:
        """Begin to make a file; what becomes of it stands in ``download``."""
        download.task = asyncio.get_running_loop().create_task(self._make(download, scene))

    async def _make(self, download: Download, scene: Scene) -> None:
        try:
            async with self.turn:
                samples = await self._compute(download, scene)
                order = download.order
                profile = scene.picture.profile
                download.content = await asyncio.to_thread(
                    encode_image, samples, order.kind, profile=profile, quality=order.quality
                )
        except (RefusedError, UserError, RuntimeError, MemoryError, OSError) as error:
            download.error = f"the file could not be made ({error})"

    async def _compute(self, download: Download, scene: Scene) -> np.ndarray:
        """Tile by tile, so that tiles of the page have their turn between them."""
        region, kind = download.order.region, download.order.kind
        channels = 3 if scene.picture.alpha is None or kind == "jpeg" else 4
        samples = np.empty((*region.shape, channels), np.uint8)
        for part in _tiles(region):

            def work(part: Region = part) -> np.ndarray:
                return samples_of(scene.tile(*part), scene.picture.alpha_part(*part[1:]), kind)

            (top, bottom), (left, right) = (
                (span[0] - whole[0], span[1] - whole[0])
                for span, whole in ((part.rows, region.rows), (part.columns, region.columns))
            )
            samples[top:bottom, left:right] = await self.worker.do(work)
            download.done += part.shape[0] * part.shape[1]
        return samples


def _tiles(region: Region) -> Iterator[Region]:
    for rows in _cut(region.rows):
        for columns in _cut(region.columns):
            yield region._replace(rows=rows, columns=columns)


def _cut(span: Span) -> Iterator[Span]:
    for start in range(*span, LONGEST_TILE):
        yield start, min(start + LONGEST_TILE, span[1])
