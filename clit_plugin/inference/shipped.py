"""The weights that come with the package."""

import hashlib
from pathlib import Path

FOLDER = Path(__file__).parents[1] / "weights"
DEFAULT = FOLDER / "clit_small.pth"


def damaged_weights() -> dict[str, str]:
    """Names of weights that are missing, or not what was shipped, and what is wrong with each."""
    wrong = {}
    for line in (FOLDER / "SHA256SUMS").read_text(encoding="ascii").splitlines():
        expected, name = line.split()
        file = FOLDER / name
        if not file.is_file():
            wrong[name] = "missing"
        elif hashlib.sha256(file.read_bytes()).hexdigest() != expected:
            wrong[name] = "damaged, its SHA-256 is another"
    return wrong
