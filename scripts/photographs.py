"""Write the photographs of scripts/photographs.csv as reduced PNG files; called by scripts/photographs.sh.

usage: photographs.py packages FOLDER         print the Debian packages that are still needed, one per line
       photographs.py write FOLDER PACKAGES   write FOLDER/train, FOLDER/held_out and FOLDER/CREDITS.md

PACKAGES contains the unpacked packages, each in a folder of its name. Exit status: 0 done, 1 some photographs are
missing or have changed (each is named), 2 bad input and nothing written, 130 interrupted.
"""

import csv
import hashlib
import sys
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

from PIL import Image

LIST = Path(__file__).with_suffix(".csv")
SPLITS = ("train", "held_out")
SCIKIT_IMAGE = "scikit-image"


@dataclass(frozen=True)
class Photograph:
    """A row of the list; ``original`` is the path in the package, ``file`` the name of the PNG."""

    file: str
    split: str
    package: str
    original: str
    factor: int
    author: str
    licence: str
    sha256: str

    def source(self, packages: Path) -> Path:
        """Path of the original; scikit-image is a Python package, with its data beside the code."""
        if self.package != SCIKIT_IMAGE:
            return packages / self.package / self.original
        import skimage.data

        return Path(skimage.data.__file__).parent / self.original


def read_list(path: Path) -> list[Photograph]:
    """Read the list of photographs."""
    with path.open(encoding="utf-8", newline="") as file:
        return [Photograph(**{**row, "factor": int(row["factor"])}) for row in csv.DictReader(file)]


def missing(photographs: list[Photograph], folder: Path) -> list[Photograph]:
    """Photographs that are not in ``folder`` yet."""
    return [photograph for photograph in photographs if not (folder / photograph.split / photograph.file).is_file()]


def unlisted(photographs: list[Photograph], folder: Path) -> list[Path]:
    """Files of the two sets that are not in the list; in the LMDBs, they would spoil the split."""
    listed = {folder / photograph.split / photograph.file for photograph in photographs}
    found = (path for split in SPLITS for path in (folder / split).glob("*") if path.suffix != ".partial")
    return sorted(path for path in found if path not in listed)


def reduced(image: Image.Image, factor: int) -> Image.Image:
    """Convert ``image`` to RGB and divide its sides by ``factor`` (Lanczos, antialiased); a remainder is cropped."""
    image = image.convert("RGB")
    width, height = image.width // factor, image.height // factor
    return image.resize((width, height), Image.Resampling.LANCZOS, box=(0, 0, width * factor, height * factor))


def write(photograph: Photograph, folder: Path, packages: Path) -> None:
    """Write one photograph, atomically.

    Raises:
        FileNotFoundError: The package has no such file.
        ValueError: The file is not the one in the list.
    """
    content = photograph.source(packages).read_bytes()
    if hashlib.sha256(content).hexdigest() != photograph.sha256:
        raise ValueError("differs from the file in the list (SHA-256)")
    target = folder / photograph.split / photograph.file
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(target.name + ".partial")
    with Image.open(BytesIO(content)) as image:
        reduced(image, photograph.factor).save(partial, format="PNG")
    partial.replace(target)


def credits_text(photographs: list[Photograph]) -> str:
    """Return the credits as a Markdown table."""
    lines = [
        "# Credits",
        "",
        "The photographs in this folder, their authors and licences. Each was changed: reduced by the factor given",
        "(antialiased) and stored as PNG.",
        "",
        "| file | author | licence | source | reduced by |",
        "|---|---|---|---|---|",
    ]
    lines += [
        f"| {p.split}/{p.file} | {p.author} | {p.licence} | {p.package}: {p.original} | {p.factor} |"
        for p in photographs
    ]
    return "\n".join(lines) + "\n"


def write_all(photographs: list[Photograph], folder: Path, packages: Path) -> int:
    """Write missing photographs, then the credits of all present ones; return the exit status."""
    if found := unlisted(photographs, folder):
        print(f"photographs: error: not in the list: {', '.join(map(str, found))}; move them away", file=sys.stderr)
        return 2
    status = 0
    for photograph in missing(photographs, folder):
        try:
            write(photograph, folder, packages)
        except (FileNotFoundError, ValueError) as error:
            reason = "is missing" if isinstance(error, FileNotFoundError) else str(error)
            print(
                f"photographs: error: {photograph.file} was skipped: {photograph.original} of {photograph.package} "
                f"{reason}",
                file=sys.stderr,
            )
            status = 1
    absent = missing(photographs, folder)
    present = [photograph for photograph in photographs if photograph not in absent]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "CREDITS.md").write_text(credits_text(present), encoding="utf-8")
    for split in SPLITS:
        sizes = []
        for path in sorted((folder / split).glob("*.png")):
            with Image.open(path) as image:
                sizes.append(image.width * image.height)
        print(f"{folder / split}: {len(sizes)} photographs, {sum(sizes) / 1e6:.1f} megapixels")
    return status


def main(arguments: list[str]) -> int:
    """Run one of the two commands; return the exit status."""
    photographs = read_list(LIST)
    if len(arguments) == 2 and arguments[0] == "packages":
        needed = {photograph.package for photograph in missing(photographs, Path(arguments[1]))}
        print("".join(f"{package}\n" for package in sorted(needed - {SCIKIT_IMAGE})), end="")
        return 0
    if len(arguments) == 3 and arguments[0] == "write":
        return write_all(photographs, Path(arguments[1]), Path(arguments[2]))
    print(__doc__, file=sys.stderr)
    return 2


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)
