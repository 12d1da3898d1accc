"""The folder beside a video in the making: its finished parts, and what they are parts of."""

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clit_plugin.utils.atomic_files import replacing
from clit_plugin.utils.errors import UserError

FRAMES = 24  # of a part, but the last one
_ABOUT = "about.json"


@dataclass(frozen=True, kw_only=True)
class Parts:
    """Parts of an output.

    Attributes:
        folder: Where they lie.
        about: What they are made of and how, as JSON has it.
    """

    folder: Path
    about: dict[str, Any]

    @classmethod
    def of(cls, output: Path, about: dict[str, Any]) -> "Parts":
        """Those of an output; what an earlier run of the same left is taken up.

        Raises:
            UserError: What lies there is of another run, or cannot be written.
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
            found = json.loads((self.folder / _ABOUT).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            found = None
        if not isinstance(found, dict):
            raise UserError(f"{self.folder}: is in the way, and no work of clit upscale; move it, or give another -o")
        if differing := [key for key in self.about if found.get(key) != self.about[key]]:
            raise UserError(
                f"{self.folder}: was started with another {' and '.join(differing)}; delete it to start again, or give "
                "another -o"
            )

    @property
    def finished(self) -> list[Path]:
        """From the first one to where the work stopped."""
        paths: list[Path] = []
        while (path := self._path(len(paths))).is_file():
            paths.append(path)
        return paths

    def next(self) -> Path:
        """The file of the first part that is missing."""
        return self._path(len(self.finished))

    def remove(self) -> None:
        """Delete them, where their work is done."""
        shutil.rmtree(self.folder)

    def _path(self, number: int) -> Path:
        return self.folder / f"{number:06}.nut"
