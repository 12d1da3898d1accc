"""Results on disk: one JSON a set, tables of all as CSV, and what an interrupted test has done so far.

    results/NAME/
      metrics/Set5_x2-1a2b3c4d5e6f.json           one finished set: settings, means, every image
      metrics/Set5_x3-....rank0.partial.jsonl     images of an unfinished set, one a line
      crops/Set5_x2-1a2b3c4d5e6f/woman.png        what the set's worst and best image look like
      results.csv  images.csv                     the same as tables: one row a set, one row an image, sizes as WxH

A file's name holds the fingerprint of everything that decides its numbers. Other settings write another file, and
the same settings find theirs.
"""

import csv
import io
import json
import math
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from clit_plugin.ops.sizes import by
from clit_plugin.utils.atomic_files import write_text
from clit_plugin.utils.errors import UserError
from clit_plugin.utils.output_files import cannot_write

_PROVENANCE = (
    "weights",
    "param_key",
    "weights_sha256",
    "data_sha256",
    "fingerprint",
    "finished",
    "options",
    "versions",
)


class StoredResults:
    """The stored results of one run.

    Args:
        root: ``results/NAME``.
    """

    def __init__(self, root: str | Path) -> None:
        self.root = Path(root)
        self.folder = self.root / "metrics"

    def find(self, header: Mapping[str, Any]) -> dict[str, Any] | None:
        """The finished result of these settings, or nothing. One that cannot be read counts as none."""
        try:
            return read_result(self._file(header))
        except UserError:
            return None

    def partial(self, header: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
        """Images of an interrupted test with these settings, by name, whichever rank has done them."""
        done: dict[str, dict[str, Any]] = {}
        for file in sorted(self.folder.glob(f"{self._file(header).stem}.rank*.partial.jsonl")):
            for line in file.read_text(encoding="utf-8").splitlines():
                try:
                    image = json.loads(line)
                    done[image["image"]] = image
                except (ValueError, TypeError, KeyError, RecursionError):  # the line that was being written
                    continue
        return done

    def append(self, header: Mapping[str, Any], rank: int, image: Mapping[str, Any]) -> None:
        """Keep one image of an unfinished set."""
        file = self._file(header).with_suffix(f".rank{rank}.partial.jsonl")
        with _writing(file):
            file.parent.mkdir(parents=True, exist_ok=True)
            with file.open("a", encoding="utf-8") as lines:
                # A line of its own, also behind one that a killed process has left without an end.
                lines.write("\n" + _json(image) + "\n")

    def finish(self, header: Mapping[str, Any], images: Sequence[Mapping[str, Any]]) -> None:
        """Store a finished set, and the tables of all."""
        metrics = {name: mean(image["metrics"][name] for image in images) for name in header["metrics"]}
        finished = datetime.now(timezone.utc).isoformat(timespec="seconds")
        result = {**header, "metrics": metrics, "finished": finished, "images": list(images)}
        file = self._file(header)
        write_text(file, _json(result, indent=1) + "\n", shared=True)
        for rest in self.folder.glob(f"{file.stem}.rank*.partial.jsonl"):
            rest.unlink(missing_ok=True)
        self.write_tables()

    def crops(self, header: Mapping[str, Any]) -> Path:
        """Where the pictures of a set's worst and best image are."""
        return self.root / "crops" / self._file(header).stem

    def write_tables(self) -> None:
        """Write ``results.csv`` and ``images.csv`` anew from all finished results."""
        results = []
        for file in sorted(self.folder.glob("*.json")):
            try:
                results.append(read_result(file))
            except UserError as error:
                warnings.warn(f"{error}; it is left out of the tables, remove it", stacklevel=2)
        results.sort(key=_order)
        write_text(self.root / "results.csv", _csv(map(_set_row, results)), shared=True)
        rows = (row for result in results for row in _image_rows(result))
        write_text(self.root / "images.csv", _csv(rows), shared=True)

    def _file(self, header: Mapping[str, Any]) -> Path:
        return self.folder / f"{header['set'].replace('/', '_')}-{header['fingerprint']}.json"


def crop_file(folder: Path, image: str) -> Path:
    """The picture of an image of a set."""
    return folder / f"{image.replace('/', '_')}.png"


def mean(values: Iterable[float]) -> float:
    """The mean, the same in whatever order the values were made."""
    numbers = [float(value) for value in values]
    return math.fsum(numbers) / len(numbers)


def read_results(paths: Iterable[str | Path]) -> list[dict[str, Any]]:
    """All finished results in files and below folders, sorted by run, set and scale.

    Raises:
        UserError: No such path, nothing in it, or a file that is no result.
    """
    files: list[Path] = []
    for path in map(Path, paths):
        if path.is_dir():
            below = sorted(path.rglob("*.json"))
            if below and path.name != "metrics":
                below = [file for file in below if file.parent.name == "metrics"]
            if not below:
                raise UserError(f"{path}: no results of 'clit test' below, looked for metrics/*.json")
            files += below
        elif path.is_file():
            files.append(path)
        else:
            raise UserError(f"{path}: no such file or folder of results")
    unique = {file.resolve(): file for file in files}
    return sorted((read_result(file) for file in unique.values()), key=_order)


def read_result(file: Path) -> dict[str, Any]:
    """One finished result; metrics are floats, infinite ones too; ``crops`` are the pictures that are there, by image.

    Raises:
        UserError: Not there, or not such a file.
    """
    try:
        result = json.loads(file.read_text(encoding="utf-8"))
        if result["format"] != 1:
            raise UserError(f"{file}: of format {result['format']}, this version reads 1")
        for part in (result, *result["images"]):
            part["metrics"] = {str(name): float(value) for name, value in part["metrics"].items()}
        folder = file.parent.parent / "crops" / file.stem
        result["crops"] = {
            image["image"]: crop for image in result["images"] if (crop := crop_file(folder, image["image"])).is_file()
        }
        result["scale"] = result["scale"] and [float(value) for value in result["scale"]]
        for key in ("name", "set", "family", "fingerprint", "finished"):
            if not isinstance(result[key], str):
                raise TypeError(key)
        if not isinstance(result["degradation"], (str, dict)):
            raise TypeError("degradation")
        _check_parts(result)
    except OSError as error:
        raise UserError(f"{file}: cannot be read ({error.strerror})") from error
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise UserError(f"{file}: not a result of 'clit test', or damaged ({type(error).__name__}: {error})") from error
    return result


def _check_parts(result: Mapping[str, Any]) -> None:
    """Raise KeyError, TypeError or ValueError for what a report would fail on."""
    result["protocol"]["name"], result["data_sha256"]  # noqa: B018, that they are there
    network = result["options"]["network_g"]
    if not isinstance(network["type"], str) or not isinstance(network.get("encoder") or {}, Mapping):
        raise TypeError("network_g")
    if not result["images"]:
        raise ValueError("no images")
    for part in (result, *result["images"]):
        if result["options"]["metrics"].keys() - part["metrics"].keys():
            raise KeyError("metrics")
    for image in result["images"]:
        image["image"], image["shave"]  # noqa: B018
        if any(len(image[pair]) != 2 for pair in ("lq_size", "gt_size", "scale")):
            raise ValueError("sizes")


@contextmanager
def _writing(file: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise cannot_write(file, error) from error


def _json(value: Any, indent: int | None = None) -> str:
    """JSON as every reader takes it: numbers that are not finite are texts."""
    return json.dumps(_finite(value), indent=indent, allow_nan=False, ensure_ascii=False)


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def _order(result: Mapping[str, Any]) -> tuple[Any, ...]:
    scale = result["scale"] or [0.0, 0.0]
    return result["name"], result["family"], scale, degradation_text(result["degradation"]), result["finished"]


def degradation_text(degradation: str | Mapping[str, Any]) -> str:
    """How LR was made, on one line: a name as it is, a mapping with all its parameters as JSON."""
    return degradation if isinstance(degradation, str) else _json(degradation)


def _settings(result: Mapping[str, Any]) -> dict[str, Any]:
    scale = result["scale"] or ("", "")
    row = {"name": result["name"], "set": result["set"], "family": result["family"]}
    row |= {"scale_y": scale[0], "scale_x": scale[1], "degradation": degradation_text(result["degradation"])}
    return row | {"protocol": result["protocol"]["name"], "channel": result["protocol"].get("channel")}


def _set_row(result: Mapping[str, Any]) -> dict[str, Any]:
    images = result["images"]
    row: dict[str, Any] = _settings(result)
    row |= {"images": len(images), "shave": _range(str(image.get("shave")) for image in images)}
    for sizes in ("lq_size", "gt_size"):
        row[f"{sizes}s"] = _range(by(image[sizes]) for image in images)
    row |= result["metrics"]
    weights = result.get("weights") or {}
    row |= {"parameters": result.get("parameters"), "multiply_adds_1280x720": result.get("multiply_adds")}
    row |= {"seconds_per_image": seconds_per_image(result)}
    row |= {"weights": weights.get("path"), "param_key": weights.get("param_key")}
    row |= {"weights_sha256": weights.get("sha256")}
    row |= {key: result.get(key) for key in ("data_sha256", "fingerprint", "finished")}
    return row | {key: _json(result.get(key)) for key in ("options", "versions")}


def seconds_per_image(result: Mapping[str, Any]) -> float | None:
    """The mean time that the network took, or None of results that were stored without it."""
    seconds = [image["seconds"] for image in result["images"] if "seconds" in image]
    return round(mean(seconds), 4) if len(seconds) == len(result["images"]) else None


def _image_rows(result: Mapping[str, Any]) -> Iterable[dict[str, Any]]:
    for image in result["images"]:
        row = _settings(result) | {"image": image["image"], "shave": image.get("shave")}
        row |= {"scale_y": image["scale"][0], "scale_x": image["scale"][1]}
        row |= {f"{side}_size": by(image[f"{side}_size"]) for side in ("lq", "gt")}
        yield row | image["metrics"] | {"fingerprint": result["fingerprint"]}


def _range(values: Iterable[str]) -> str:
    """The one value, or all different ones."""
    return " ".join(dict.fromkeys(values))


def _csv(rows: Iterable[Mapping[str, Any]]) -> str:
    rows = list(rows)
    columns = list(dict.fromkeys(name for row in rows for name in row if name not in _PROVENANCE))
    columns += [name for name in _PROVENANCE if any(name in row for row in rows)]
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()
