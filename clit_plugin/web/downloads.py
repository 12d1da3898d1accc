"""Files to download: computed in the background, encoded and held in memory until the page fetches them."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from clit_plugin.ops.parts import Span
from clit_plugin.web.images import FORMATS, encode_image, samples_of
from clit_plugin.web.request_parameters import MAX_TILE_SIDE, DownloadOptions, Region
from clit_plugin.web.scene import Scene
from clit_plugin.web.worker import Worker


@dataclass
class Download:
    """A file that is being made, or is ready.

    Attributes:
        options: Region, format and quality.
        name: Suggested file name.
        done: Pixels computed so far.
        content: The finished file.
        error: Why it failed, in one line.
        task: The task that makes it.
    """

    options: DownloadOptions
    name: str
    done: int = 0
    content: bytes | None = None
    error: str | None = None
    task: "asyncio.Task[None] | None" = None

    @classmethod
    def of(cls, options: DownloadOptions, picture: str) -> "Download":
        """A download named after the picture and its size in pixels."""
        height, width = options.region.shape
        suffix = {"jpeg": "jpg"}.get(options.kind, options.kind)
        return cls(options, f"{picture.rpartition('.')[0] or picture}_{width}x{height}.{suffix}")

    @property
    def pixels(self) -> int:
        """Pixels to compute in total."""
        height, width = self.options.region.shape
        return height * width

    @property
    def media_type(self) -> str:
        """Media type of the file."""
        return FORMATS[self.options.kind]

    def cancel(self) -> None:
        """Stop the task and drop the file."""
        self.content = None
        if self.task is not None:
            self.task.cancel()


@dataclass
class DownloadQueue:
    """Makes files one after another, so that the samples of only one are in memory."""

    worker: Worker
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    def start(self, download: Download, scene: Scene) -> None:
        """Queue a file; ``download`` receives progress and result."""
        download.task = asyncio.get_running_loop().create_task(self._make(download, scene))

    async def _make(self, download: Download, scene: Scene) -> None:
        try:
            async with self.lock:
                samples = await self._compute(download, scene)
                options = download.options
                profile = scene.picture.profile
                download.content = await asyncio.to_thread(
                    encode_image, samples, options.kind, profile=profile, quality=options.quality
                )
        except Exception as error:  # the page waits for either a file or a reason
            download.error = f"the file could not be made ({error})"

    async def _compute(self, download: Download, scene: Scene) -> np.ndarray:
        """Compute the samples tile by tile, so that tiles of the page can be decoded in between."""
        region, kind = download.options.region, download.options.kind
        channels = 3 if scene.picture.alpha is None or kind == "jpeg" else 4
        samples = np.empty((*region.shape, channels), np.uint8)
        for tile in _tiles(region):

            def work(tile: Region = tile) -> np.ndarray:
                return samples_of(scene.tile(*tile), scene.picture.alpha_part(*tile[1:]), kind)

            (top, bottom), (left, right) = (
                (span[0] - whole[0], span[1] - whole[0])
                for span, whole in ((tile.rows, region.rows), (tile.columns, region.columns))
            )
            samples[top:bottom, left:right] = await self.worker.do(work)
            download.done += tile.shape[0] * tile.shape[1]
        return samples


def _tiles(region: Region) -> Iterator[Region]:
    for rows in _split(region.rows):
        for columns in _split(region.columns):
            yield region._replace(rows=rows, columns=columns)


def _split(span: Span) -> Iterator[Span]:
    for start in range(*span, MAX_TILE_SIDE):
        yield start, min(start + MAX_TILE_SIDE, span[1])
