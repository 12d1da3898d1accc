"""The weights shipped with the package."""

import hashlib
import os
from pathlib import Path

from clit_plugin.utils.errors import UserError

FOLDER = Path(__file__).parents[1] / "weights"
DEFAULT = FOLDER / "clit_small.pth"


def shipped_names() -> list[str]:
    """Names of the package's weights, such as ``clit_small``."""
    return sorted(file.stem for file in FOLDER.glob("*.pth"))


def weights_path(weights: str | Path) -> str:
    """The path of a weights file; one of ``shipped_names`` is the package's, unless a file of that name exists.

    Raises:
        UserError: A name, without folder and suffix, of neither.
    """
    path = os.fspath(weights)
    if os.path.exists(path):
        return path
    if path in (names := shipped_names()):
        return str(FOLDER / f"{path}.pth")
    if Path(path).name == Path(path).stem == path:
        raise UserError(f"{path}: no such weights file; the package has {' and '.join(names)}")
    return path


def is_shipped(path: str | Path) -> bool:
    """Whether a weights file is one of the package's."""
    return Path(path).parent == FOLDER


def damaged_weights() -> dict[str, str]:
    """What is wrong with missing or damaged weights of the package, by name."""
    wrong = {}
    for line in (FOLDER / "SHA256SUMS").read_text(encoding="ascii").splitlines():
        expected, name = line.split()
        file = FOLDER / name
        if not file.is_file():
            wrong[name] = "missing"
        elif hashlib.sha256(file.read_bytes()).hexdigest() != expected:
            wrong[name] = "damaged, its SHA-256 differs"
    return wrong
