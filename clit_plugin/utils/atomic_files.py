"""Writing files atomically: whole or not at all."""

import io
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from clit_plugin.utils.errors import UserError
from clit_plugin.utils.output_files import cannot_write


@contextmanager
def replacing(path: Path, *, shared: bool = False) -> Iterator[Path]:
    """Yield the path of a partial file to write, which replaces ``path`` when the block succeeds.

    The content is flushed to disk before the file is renamed. Missing parent folders are created, and the partial file
    is removed if the block fails.

    Args:
        path: The file to write or to replace.
        shared: Whether several processes may write it at the same time; the last one wins.

    Raises:
        UserError: It cannot be written; an existing file is left as it was.
    """
    partial = path.with_name(f"{path.name}.{os.getpid()}.partial" if shared else f"{path.name}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield partial
            with partial.open("rb") as file:
                os.fsync(file.fileno())
            os.replace(partial, path)
        except BaseException:
            with suppress(OSError):
                partial.unlink()
            raise
    except OSError as error:
        raise cannot_write(path, error) from error


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file atomically. Raises UserError as ``replacing``."""
    with replacing(path) as partial:
        partial.write_bytes(content)


def write_text(path: Path, text: str, *, shared: bool = False) -> None:
    """Write a UTF-8 file atomically, line endings unchanged. Raises UserError as ``replacing``."""
    with replacing(path, shared=shared) as partial:
        partial.write_text(text, encoding="utf-8", newline="")


def save_whole(content: Any, path: Path) -> None:
    """``torch.save``, atomically.

    Raises:
        UserError: As ``replacing``, or the content cannot be pickled.
    """
    import torch

    with replacing(path) as partial, partial.open("wb", buffering=0) as raw:
        file = _ErrorKeepingWriter(raw)
        try:
            torch.save(content, file)
            file.flush()
        except RuntimeError as error:
            if file.error is not None:
                raise file.error from error
            raise UserError(f"{path}: cannot be written ({str(error).strip().splitlines()[0]})") from error


class _ErrorKeepingWriter(io.BufferedWriter):
    """Keeps the OSError of a failed write, which torch replaces with a RuntimeError about its zip file."""

    error: OSError | None = None

    def write(self, content: Any) -> int:
        try:
            return super().write(content)
        except OSError as error:
            self.error = error
            raise

    def flush(self) -> None:
        try:
            super().flush()
        except OSError as error:
            self.error = self.error or error
            raise
