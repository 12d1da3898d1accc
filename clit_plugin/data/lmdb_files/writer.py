"""Writing an LMDB of PNG images so that it can be interrupted at any moment and resumed."""

import errno
import json
import os
import shutil
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

import lmdb

from clit_plugin.data.image_io import decode_rgb
from clit_plugin.utils.atomic_files import write_text
from clit_plugin.utils.errors import UserError

COMPRESS_LEVEL = 1
JOURNAL = "written.jsonl"
_MAX_KEY_BYTES = 511  # LMDB's own limit
_FIRST_MAP_BYTES = 64 * 2**20
_COMMIT_SOURCES = 32
_COMMIT_BYTES = 64 * 2**20
_KEPT_IN_KEYS = "".join(chr(code) for code in range(32, 127) if chr(code) != "%")


class EncodedImage(NamedTuple):
    """An image on its way into the LMDB."""

    key: str
    height: int
    width: int
    png: bytes


class StoredImage(NamedTuple):
    """An image in the LMDB, with the CRC-32 of the PNG bytes written."""

    key: str
    height: int
    width: int
    crc32: int


def lmdb_key(relative_path: str, *, suffix: str = "", keep_extension: bool = False) -> str:
    """The LMDB key of an image file: its relative path without the extension ("a/0001x2").

    BasicSR encodes keys as ASCII and lists one per line, so bytes (UTF-8) outside printable ASCII, and "%", are
    percent-encoded. Different paths give different keys, unless they differ in the extension alone.

    Args:
        relative_path: Path below the image folder, with '/' as separator and with the extension.
        suffix: Appended to the key, such as the number of a sub-image.
        keep_extension: Keep the extension in the key ("a/0001x2.png").

    Raises:
        UserError: The key exceeds the 511 bytes that LMDB allows.
    """
    stem = (relative_path if keep_extension else os.path.splitext(relative_path)[0]) + suffix
    # A file name that is not UTF-8 contains surrogates, which encode its bytes.
    key = quote(stem, safe=_KEPT_IN_KEYS, errors="surrogateescape")
    if len(key) > _MAX_KEY_BYTES:
        raise UserError(
            f"{relative_path}: its LMDB key would have {len(key)} bytes, more than LMDB's {_MAX_KEY_BYTES}; "
            "shorten the names of the file and its folders"
        )
    return key


class LmdbWriter:
    """Writes the LMDB in ``folder``, source file by source file, and resumes what an earlier writer left there.

    A source is done once its images are committed and then listed in the journal. Leaving the ``with`` block, also by
    an exception, commits what was added.

    Attributes:
        done: The images of each source that is done.
        dropped: How many sources an earlier writer had done that were removed or changed since; their images are
            deleted.
    """

    def __init__(
        self,
        *,
        folder: Path,
        sources: Mapping[str, list[int]],
        map_bytes: int = _FIRST_MAP_BYTES,
        commit_bytes: int = _COMMIT_BYTES,
    ) -> None:
        """Open the LMDB, or create it.

        Args:
            folder: An existing folder that nothing else uses.
            sources: All sources, each with its stamp (size, modification time); a changed stamp means a changed file.
            map_bytes: Initial size of the map, which grows as needed.
            commit_bytes: Images are committed once they take this many bytes, or come from a few dozen sources.
        """
        self.folder = folder
        self.done: dict[str, list[StoredImage]] = {}
        self.dropped = 0
        self._sources = sources
        self._commit_bytes = commit_bytes
        self._journal = folder / JOURNAL
        self._pending: dict[str, list[EncodedImage]] = {}
        self._pending_bytes = 0
        self._env = lmdb.open(str(folder), map_size=map_bytes)
        self._take_over()

    def __enter__(self) -> "LmdbWriter":
        return self

    def __exit__(self, *exception: object) -> None:
        try:
            self.commit()
        finally:
            self._env.close()

    def add(self, *, source: str, images: list[EncodedImage]) -> None:
        """Add all images of one source; they are committed together with those of other sources."""
        self._pending[source] = images
        self._pending_bytes += sum(len(image.png) for image in images)
        if len(self._pending) >= _COMMIT_SOURCES or self._pending_bytes >= self._commit_bytes:
            self.commit()

    def commit(self) -> None:
        """Write what was added to disk."""
        if not self._pending:
            return

        def put_all(transaction: lmdb.Transaction) -> None:
            for images in self._pending.values():
                for image in images:
                    transaction.put(image.key.encode("ascii"), image.png)

        self._transact(put_all)
        written = {
            source: [StoredImage(image.key, image.height, image.width, zlib.crc32(image.png)) for image in images]
            for source, images in self._pending.items()
        }
        with self._journal.open("a", encoding="ascii") as journal:
            journal.write(self._journal_lines(written))
        self.done.update(written)
        self._pending, self._pending_bytes = {}, 0

    def read(self, key: str) -> bytes | None:
        """Return the committed bytes under ``key``."""
        with self._env.begin() as transaction:
            return transaction.get(key.encode("ascii"))

    def write_meta_info(self) -> None:
        """Write BasicSR's ``meta_info.txt`` for the images that are done, sorted by key."""
        images = sorted(image for stored in self.done.values() for image in stored)
        lines = [f"{image.key}.png ({image.height},{image.width},3) {COMPRESS_LEVEL}\n" for image in images]
        write_text(self.folder / "meta_info.txt", "".join(lines))

    def _transact(self, change: Callable[[lmdb.Transaction], None]) -> None:
        """Run ``change`` in one transaction; as long as the map is full, double its size and try again."""
        while True:
            try:
                with self._env.begin(write=True) as transaction:
                    change(transaction)
                return
            except lmdb.MapFullError:
                self._env.set_mapsize(2 * self._env.info()["map_size"])

    def _take_over(self) -> None:
        """Keep the images of unchanged sources from an earlier writer; delete all others."""
        earlier = self._read_journal()
        self.done = {
            source: images for source, (stamp, images) in earlier.items() if self._sources.get(source) == stamp
        }
        self.dropped = len(earlier) - len(self.done)
        write_text(self._journal, self._journal_lines(self.done))
        kept = {image.key.encode("ascii") for images in self.done.values() for image in images}

        def delete_others(transaction: lmdb.Transaction) -> None:
            for key in [key for key in transaction.cursor().iternext(values=False) if key not in kept]:
                transaction.delete(key)

        self._transact(delete_others)

    def _read_journal(self) -> dict[str, tuple[list[int], list[StoredImage]]]:
        records: dict[str, tuple[list[int], list[StoredImage]]] = {}
        for line in self._journal.read_text(encoding="ascii").splitlines() if self._journal.exists() else ():
            try:
                source, stamp, images = json.loads(line)
                records[source] = (stamp, [StoredImage(*image) for image in images])
            except (ValueError, TypeError, RecursionError):  # cut off by a crash, or edited
                continue
        return records

    def _journal_lines(self, done: Mapping[str, list[StoredImage]]) -> str:
        # The line break comes first, so that a line cut off by a crash does not spoil the next one.
        return "".join("\n" + json.dumps([source, self._sources[source], images]) for source, images in done.items())


def check_image(*, image: StoredImage, content: bytes | None, folder: Path) -> None:
    """Check that an image reads back as written.

    Raises:
        UserError: The bytes differ from those written, or do not decode to the size written.
    """
    name = f"{folder}, key {image.key!r}"
    if content is None or zlib.crc32(content) != image.crc32:
        raise UserError(f"{name}: does not read back as written; check the disk, remove the folder and run again")
    shape = decode_rgb(content, name).shape
    if shape != (image.height, image.width, 3):
        raise UserError(f"{name}: decodes to shape {shape} instead of ({image.height}, {image.width}, 3); run again")


@contextmanager
def storage_errors(folder: Path) -> Iterator[None]:
    """Report a full disk, missing permissions and the like while writing ``folder`` in one line.

    Raises:
        UserError: In place of LMDB's and the operating system's errors.
    """
    try:
        yield
    except (lmdb.Error, OSError) as error:
        full = isinstance(error, lmdb.DiskError) or getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT)
        # A write that fills the disk succeeds in part, which LMDB reports as an input/output error.
        if full or (isinstance(error, lmdb.Error) and shutil.disk_usage(folder.parent).free < _COMMIT_BYTES):
            raise UserError(f"{folder}: no space left on the disk; make room and run the same command again") from error
        raise UserError(f"{folder}: cannot be written ({error})") from error
