"""Parsing of ``clit test``'s arguments."""

import re
from collections.abc import Sequence
from pathlib import Path

from clit_plugin.config.weights_runs import FROM_WEIGHTS
from clit_plugin.inference.shipped import weights_path
from clit_plugin.utils.errors import UserError


def parse_scale(text: str) -> float | tuple[float, float]:
    """3.7 for ``3.7``; (y, x) = (3.5, 2) for ``2x3.5``, which is width x height.

    Raises:
        UserError: Anything else, or a scale below 1.
    """
    parts = text.split("x")
    if not all(re.fullmatch(r"\d+(\.\d*)?", part) for part in parts) or len(parts) > 2 or min(map(float, parts)) < 1:
        raise UserError(
            f"--scales: expected numbers of at least 1, such as 2 3.7, or 2x3.5 for width x height; got {text!r}"
        )
    return float(parts[0]) if len(parts) == 1 else (float(parts[1]), float(parts[0]))


def parse_folders(texts: Sequence[str]) -> dict[str, str]:
    """Folders by name. Raises UserError for what ``parse_folder`` refuses, and for a name that comes twice."""
    folders: dict[str, str] = {}
    for name, folder in map(parse_folder, texts):
        if name in folders:
            raise UserError(f"--folder: {name} is given twice, as {folders[name]} and {folder}; give another name")
        folders[name] = folder
    return folders


def parse_folder(text: str) -> tuple[str, str]:
    """``NAME=FOLDER``; raises UserError for anything else."""
    name, equals, folder = text.partition("=")
    if not equals or not re.fullmatch(r"[\w.-]+", name) or not folder:
        raise UserError(f"--folder: expected NAME=FOLDER, such as Set5=data/Set5/HR; got {text!r}")
    return name, folder


def name_weights(texts: Sequence[str]) -> dict[str, str]:
    """Weights files by the names of their runs, from ``FILE``, a name of the package's weights, or ``NAME=FILE``.

    ``experiments/lit/models/net_g_latest.pth`` is named lit, ``.../net_g_5000.pth`` lit_5000, others after the file.

    Raises:
        UserError: Two files have the same name, or a name is not valid for a folder.
    """
    files: dict[str, str] = {}
    for text in texts:
        name, equals, file = text.partition("=")
        if not equals or Path(text).expanduser().is_file():
            name, file = _name_of(Path(text)), text
        if not re.fullmatch(r"\w[\w.+-]*", name):
            raise UserError(f"--weights {text}: expected FILE or NAME=FILE, and a name of letters, digits and _ . + -")
        if name in files:
            raise UserError(f"--weights: {files[name]} and {file} would both be named {name}; give one as NAME=FILE")
        files[name] = weights_path(file)
    return files


def check_overrides(texts: Sequence[str]) -> None:
    """Raise UserError for a ``--set`` of something that the weights file determines."""
    for text in texts:
        section = re.split(r"[.=]", text.strip())[0]
        if section in FROM_WEIGHTS:
            raise UserError(
                f"--set {text}: with --weights the file determines {section}; give NAME=FILE or --param-key"
            )


def _name_of(file: Path) -> str:
    match = re.fullmatch(r"net_g_(.+)", file.stem)
    if match and file.parent.name == "models" and file.parent.parent.name:
        run = file.parent.parent.name
        return run if match[1] == "latest" else f"{run}_{match[1]}"
    return re.sub(r"[^\w.+-]", "_", file.stem)
