"""Images of a folder or an LMDB, by key, read with BasicSR's file client."""

import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

import lmdb
import numpy as np
import torch
from basicsr.utils.file_client import FileClient

from clit_plugin.data.image_header import Header, check_decodable, read_header
from clit_plugin.data.image_io import BYTES_PER_PIXEL, decode_rgb
from clit_plugin.data.lmdb_files.check import check_data_file, check_listed
from clit_plugin.data.lmdb_files.reader import read_meta_info
from clit_plugin.data.lmdb_files.sources import find_sources
from clit_plugin.data.lmdb_files.writer import lmdb_key
from clit_plugin.ops.sizes import wxh
from clit_plugin.utils.byte_sizes import byte_size
from clit_plugin.utils.console import bar, warn
from clit_plugin.utils.errors import UserError
from clit_plugin.utils.memory_left import memory_left


class ImageSource:
    """The 8-bit RGB images below a folder or in an LMDB; grey ones become RGB of three equal channels.

    Args:
        root: A folder or an ``.lmdb``.
        io_backend: BasicSR's option; by default inferred from the suffix.
        strict: Refuse grey images.

    Attributes:
        sizes: (H, W) of every image by key, in the keys' order. A key is the path below the root without suffix.

    Raises:
        UserError: The root is missing or has no images; two files share a key; the LMDB is truncated, or differs from
            its ``meta_info.txt``.
    """

    def __init__(self, root: str, io_backend: Mapping[str, Any] | None = None, *, strict: bool = False) -> None:
        self.strict = strict
        self.root = Path(root).expanduser()
        self.backend = "lmdb" if self.root.suffix == ".lmdb" else "disk"
        if io_backend is not None and io_backend["type"] != self.backend:
            raise UserError(
                f"{self.root}: io_backend is {io_backend['type']}, but a path "
                f"{'with' if self.backend == 'lmdb' else 'without'} the suffix .lmdb is read as {self.backend}"
            )
        self._cache: torch.Tensor | None = None
        self._places: dict[str, int] = {}
        self._inode = 0
        if self.backend == "lmdb":
            self._files: dict[str, str] = {}
            self.sizes = read_meta_info(self.root)
            check_data_file(self.root)
            self._inode = (self.root / "data.mdb").stat().st_ino
            with self._reading_errors(str(self.root)):
                env = self._client().client._client["default"]
            check_listed(self.root, env, self.sizes)
        else:
            self._files = {lmdb_key(file): str(self.root / file) for file in find_sources(self.root)}
            headers = {name: _header(Path(file), strict=strict) for name, file in self._files.items()}
            self.sizes = {name: header.size for name, header in headers.items()}
            if several := [name for name, header in headers.items() if header.frames > 1]:
                _warn_of_frames(self.root, self._files[several[0]], len(several))

    def describe(self, name: str) -> str:
        """The image's name in errors."""
        return self._files.get(name) or f"{self.root}:{name}"

    def read(self, name: str) -> np.ndarray:
        """The image of a key: (H, W, 3) uint8, RGB.

        Raises:
            UserError: Not readable, not 8-bit RGB, or of another size than listed.
        """
        height, width = self.sizes[name]
        if self._cache is not None:
            start = self._places[name]
            return self._cache[start : start + height * width * 3].view(height, width, 3).numpy()
        image = decode_rgb(self.content(name), self.describe(name), grey=not self.strict)
        found = (image.shape[0], image.shape[1])
        if found != (height, width):
            raise UserError(f"{self.describe(name)}: is {wxh(found)}, but was listed as {wxh((height, width))}")
        return image

    def content(self, name: str) -> bytes | None:
        """The encoded bytes of a key; None if an LMDB has no such key. Raises UserError as ``read``."""
        with self._reading_errors(self.describe(name)):
            return self._client().get(self._files.get(name, name))

    def _client(self) -> FileClient:
        return _file_client(self.backend, os.path.realpath(self.root), self._inode)

    @staticmethod
    @contextmanager
    def _reading_errors(name: str) -> Iterator[None]:
        try:
            yield
        except (OSError, lmdb.Error) as error:
            reason = getattr(error, "strerror", None) or error
            raise UserError(f"{name}: cannot be read ({reason})") from error

    def check_cache(self, names: Iterable[str]) -> None:
        """Check that the decoded images fit into memory.

        Raises:
            UserError: They do not, by the sizes in headers and lists.
        """
        sizes = {name: self.sizes[name] for name in names}
        needed, left = sum(height * width * 3 for height, width in sizes.values()), memory_left()
        if left is not None and needed > left:
            largest = max(sizes, key=lambda name: sizes[name][0] * sizes[name][1])
            raise UserError(
                f"cache: the images of {self.root} take {byte_size(needed)}, but only {byte_size(left)} of memory are "
                f"free (the largest, {largest!r}, is {wxh(sizes[largest])}); set cache: false"
            )

    def fill_cache(self, names: Iterable[str], *, progress: bool = True) -> None:
        """Decode images into one block of memory, which forked workers share and spawned ones map.

        Raises:
            UserError: As ``check_cache`` and ``read``.
        """
        names = list(names)
        self.check_cache(names)
        ends = np.cumsum([self.sizes[name][0] * self.sizes[name][1] * 3 for name in names]).tolist()
        cache = torch.empty(ends[-1], dtype=torch.uint8)
        places = dict(zip(names, [0, *ends], strict=False))
        label = f"Reading {self.root.name} into memory ({byte_size(ends[-1])})"
        for name, end in zip(bar(names, desc=label, unit="image", disable=not progress), ends, strict=True):
            cache[places[name] : end] = torch.from_numpy(self.read(name)).flatten()
        self._cache, self._places = cache, places


@lru_cache(maxsize=64)
def _file_client(backend: str, root: str, inode: int) -> FileClient:
    """One client per real path, as a process must not open an LMDB twice; a rebuilt LMDB is another one."""
    if backend == "disk":
        return FileClient("disk")
    return FileClient("lmdb", db_paths=[root], client_keys=["default"])


if hasattr(os, "register_at_fork"):
    # An open LMDB must not cross a fork: the worker could not open it again. Each process opens its own.
    os.register_at_fork(before=_file_client.cache_clear)


def _header(path: Path, *, strict: bool) -> Header:
    """The file's header. Images of the wrong kind are refused here, before a run starts."""
    header = read_header(path)
    if header is None:
        raise UserError(f"{path}: not a readable image; replace or remove it")
    check_decodable(header, str(path), bytes_per_pixel=BYTES_PER_PIXEL)
    mode = f"{header.mode}{' with transparency' * header.transparency}{' of 16 bits' * header.bits_16}"
    if mode not in (("RGB", "P") if strict else ("RGB", "P", "L", "1")):
        raise UserError(
            f"{path}: expected an 8-bit RGB image, got {mode}; "
            "convert it, or prepare the folder with 'clit prepare --convert'"
        )
    return header


@lru_cache  # a folder is listed more than once
def _warn_of_frames(root: Path, first: str, count: int) -> None:
    more = f" and {count - 1} more" if count > 1 else ""
    warn(f"{root}: {first}{more} hold several images each (frames or pages); only the first is used")
