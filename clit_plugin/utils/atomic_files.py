"""Checkpoints that are written whole or not at all."""

import io
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch

from clit_plugin.utils.errors import UserError
from clit_plugin.utils.output_files import cannot_write


def save_whole(content: Any, path: Path) -> None:
    """``torch.save`` beside the file, then in its place.

    Raises:
        UserError: It cannot be written; what was there is left as it was.
    """
    partial = path.with_name(path.name + ".partial")
    try:
        try:
            with partial.open("wb", buffering=0) as raw:
                file = _Remembering(raw)
                try:
                    torch.save(content, file)
                    file.flush()
                except RuntimeError as error:
                    if file.error is None:
                        raise
                    raise file.error from error
                os.fsync(raw.fileno())
            os.replace(partial, path)
        except BaseException:
            with suppress(OSError):
                partial.unlink()
            raise
    except OSError as error:
        raise cannot_write(path, error) from error
    except RuntimeError as error:
        raise UserError(f"{path}: cannot be written ({str(error).strip().splitlines()[0]})") from error


class _Remembering(io.BufferedWriter):
    """Keeps the system's error of a failed write, of which torch tells something else."""

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
