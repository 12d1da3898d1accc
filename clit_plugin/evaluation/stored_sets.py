"""Results on disk: one JSON file per set, tables of all as CSV, and the progress of an interrupted test.

    results/NAME/
      metrics/Set5_x2-1a2b3c4d5e6f.json           a finished set: settings, means, every image
      metrics/Set5_x3-....rank0.partial.jsonl     the images of an unfinished set, one per line
      crops/Set5_x2-1a2b3c4d5e6f/woman.png        what the set's worst and best image look like
      results.csv  images.csv                     the same as tables: one row per set, one row per image, sizes as WxH

A file's name contains the fingerprint of everything that determines its numbers, so that results with other settings
go to other files.
"""

import json
import warnings
from collections.abc import Iterable, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from clit_plugin.evaluation.csv_tables import degradation_text, image_table, set_table
from clit_plugin.evaluation.result_files import (
    MALFORMED,
    image_from_json,
    image_to_json,
    json_text,
    read_result,
    write_result,
)
from clit_plugin.evaluation.results import EvaluationSettings, ImageScore, SetResult
from clit_plugin.utils.atomic_files import write_text
from clit_plugin.utils.errors import UserError
from clit_plugin.utils.output_files import cannot_write


class StoredSet:
    """The stored result of one set.

    Args:
        root: ``results/NAME``, the run's folder.
        settings: The settings of the result.
    """

    def __init__(self, root: str | Path, settings: EvaluationSettings) -> None:
        self.root, self.settings = Path(root), settings
        self.file = self.root / "metrics" / f"{settings.set.replace('/', '_')}-{settings.fingerprint}.json"

    @property
    def crops(self) -> Path:
        """The folder for pictures of the worst and the best image."""
        return self.root / "crops" / self.file.stem

    def read(self) -> SetResult | None:
        """The finished result, or None. One that cannot be read counts as missing."""
        try:
            return read_result(self.file)
        except UserError:
            return None

    def read_partial(self) -> dict[str, ImageScore]:
        """The images that an interrupted test has scored, by name, on whichever rank."""
        done: dict[str, ImageScore] = {}
        for file in self._partial_files():
            for line in file.read_text(encoding="utf-8").splitlines():
                try:
                    image = image_from_json(json.loads(line))
                except MALFORMED:
                    continue  # the line that was being written
                done[image.name] = image
        return done

    def append(self, image: ImageScore, rank: int) -> None:
        """Store the scores of one image of an unfinished set.

        Raises:
            UserError: The file cannot be written.
        """
        file = self.file.with_suffix(f".rank{rank}.partial.jsonl")
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            with file.open("a", encoding="utf-8") as lines:
                # On a line of its own, even after one that a killed process left unfinished.
                lines.write("\n" + json_text(image_to_json(image)) + "\n")
        except OSError as error:
            raise cannot_write(file, error) from error

    def finish(self, images: Sequence[ImageScore]) -> None:
        """Store the result of all images, and update the run's tables.

        Raises:
            UserError: A file cannot be written.
        """
        finished = datetime.now(timezone.utc).isoformat(timespec="seconds")
        write_result(self.file, SetResult.of(self.settings, images, finished))
        for partial in self._partial_files():
            partial.unlink(missing_ok=True)
        write_tables(self.root)

    def _partial_files(self) -> list[Path]:
        return sorted(self.file.parent.glob(f"{self.file.stem}.rank*.partial.jsonl"))


def write_tables(root: Path) -> None:
    """Write ``results.csv`` and ``images.csv`` of a run's folder from all its finished results."""
    results = []
    for file in sorted((root / "metrics").glob("*.json")):
        try:
            results.append(read_result(file))
        except UserError as error:
            warnings.warn(f"{error}; skipped in the tables, remove it", stacklevel=2)
    results.sort(key=_order)
    write_text(root / "results.csv", set_table(results), shared=True)
    write_text(root / "images.csv", image_table(results), shared=True)


def read_results(paths: Iterable[str | Path]) -> list[SetResult]:
    """All finished results in files and below folders, sorted by run, set and scale.

    Raises:
        UserError: No such path, nothing in it, or a file that is not a result.
    """
    files: list[Path] = []
    for path in map(Path, paths):
        if path.is_dir():
            below = sorted(path.rglob("*.json"))
            if below and path.name != "metrics":
                below = [file for file in below if file.parent.name == "metrics"]
            if not below:
                raise UserError(f"{path}: no results of 'clit test' in this folder, looked for metrics/*.json")
            files += below
        elif path.is_file():
            files.append(path)
        else:
            raise UserError(f"{path}: no such file or folder of results")
    unique = {file.resolve(): file for file in files}
    return sorted((read_result(file) for file in unique.values()), key=_order)


def _order(result: SetResult) -> tuple[Any, ...]:
    scale = result.scale or (0.0, 0.0)
    return result.name, result.family, scale, degradation_text(result.degradation), result.finished
