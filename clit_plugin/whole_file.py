"""Checkpoints that are written whole or not at all."""

import os
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch

from clit_plugin.errors import UserError


def save_whole(content: Any, path: Path) -> None:
    """``torch.save`` beside the file, then in its place.

    Raises:
        UserError: It cannot be written; what was there is left as it was.
    """
    partial = path.with_name(path.name + ".partial")
    try:
        with partial.open("wb") as file:
            torch.save(content, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    except (OSError, RuntimeError) as error:  # torch reports a full disk as RuntimeError
        with suppress(OSError):
            partial.unlink()
        raise UserError(f"{path}: cannot be written ({str(error).strip().splitlines()[0]})") from error
