"""The option files that come with the package; ``clit://train/edsr_stage1.yml`` names one from anywhere."""

from pathlib import Path

from clit_plugin.utils.errors import UserError

PREFIX = "clit://"
# A wheel has them inside the package, a checkout beside it.
_PACKAGE = Path(__file__).resolve().parents[1]
_INSTALLED = _PACKAGE / "option_files"
FOLDER = _INSTALLED if _INSTALLED.is_dir() else _PACKAGE.parent / "options"


def locate(name: str, folder: Path | None) -> Path:
    """Resolve the name of an option file.

    Args:
        name: A path, or ``clit://`` and a path below the shipped ``options``.
        folder: The base of relative paths; by default the working directory.

    Raises:
        UserError: There is no shipped file of that name.
    """
    if not name.startswith(PREFIX):
        return (folder or Path()) / name
    below = name.removeprefix(PREFIX)
    if below not in shipped():
        raise UserError(f"{name}: no such option file in the package; 'clit options' lists them")
    return FOLDER / below


def shipped() -> list[str]:
    """The files' paths below ``clit://``, sorted."""
    return sorted(file.relative_to(FOLDER).as_posix() for file in FOLDER.rglob("*.yml"))
