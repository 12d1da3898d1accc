"""The folder with the finished parts of an output video, from which an interrupted run continues."""

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clit_plugin.utils.atomic_files import replacing
from clit_plugin.utils.errors import UserError

FRAMES = 24  # per part; the last one may have fewer
_ABOUT = "about.json"


@dataclass(frozen=True, kw_only=True)
class Parts:
    """The parts of an output video.

    Attributes:
        folder: Their folder.
        about: Input and settings of the run, JSON values; a run continues only with the same ones.
    """

    folder: Path
    about: dict[str, Any]

    @classmethod
    def of(cls, output: Path, about: dict[str, Any]) -> "Parts":
        """The parts of an output, including those of an interrupted run with the same input and settings.

        Raises:
            UserError: The folder belongs to another run, or cannot be written.
        """
        parts = cls(folder=output.with_name(f"{output.name}.parts"), about=json.loads(json.dumps(about)))
        if parts.folder.exists():
            parts._check()
        else:
            with replacing(parts.folder / _ABOUT) as partial:
                partial.write_text(json.dumps(about, indent=1), encoding="utf-8")
        return parts

    def _check(self) -> None:
        try:
            stored = json.loads((self.folder / _ABOUT).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            stored = None
        if not isinstance(stored, dict):
            raise UserError(f"{self.folder}: was not made by clit upscale; move it, or give another -o")
        if differing := [key for key in self.about if stored.get(key) != self.about[key]]:
            raise UserError(
                f"{self.folder}: was started with another {' and '.join(differing)}; delete it to start again, or give "
                "another -o"
            )

    @property
    def finished(self) -> list[Path]:
        """The finished parts, in order, up to the first missing one."""
        paths: list[Path] = []
        while (path := self._path(len(paths))).is_file():
            paths.append(path)
        return paths

    def next(self) -> Path:
        """Path of the first missing part."""
        return self._path(len(self.finished))

    def remove(self) -> None:
        """Delete the folder."""
        shutil.rmtree(self.folder)

    def _path(self, number: int) -> Path:
        return self.folder / f"{number:06}.nut"
