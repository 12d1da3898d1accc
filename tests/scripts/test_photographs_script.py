"""scripts/photographs.sh and its list, with packages made here and stubs of apt-get and dpkg: nothing is downloaded."""

import csv
import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from clit_plugin.data.lmdb_files.reader import read_meta_info

ROOT = Path(__file__).resolve().parents[2]
spec = importlib.util.spec_from_file_location("photographs", ROOT / "scripts" / "photographs.py")
photographs = importlib.util.module_from_spec(spec)
sys.modules["photographs"] = photographs
spec.loader.exec_module(photographs)

ORIGINALS = {
    # (package, path in the package): size, set, reduction
    ("wallpapers-a", "usr/share/backgrounds/Hill by X.jpg"): ((61, 47), "train", 2),
    ("wallpapers-a", "usr/share/backgrounds/Sea.png"): ((90, 66), "held_out", 3),
    ("wallpapers-b", "usr/share/wallpapers/Wood/contents/images/70x50.png"): ((70, 50), "train", 2),
}
# Unpacks what the "package" is: a folder, named in the file that stands for the .deb.
APT = """#!/bin/sh
[ "$1" = download ] || exit 1
echo "$2" >>"$STUB_LOG"
echo "W: Download is performed unsandboxed as root" >&2
case " $STUB_ABSENT " in *" $2 "*) echo "E: Unable to locate package $2" >&2; exit 100 ;; esac
echo "$STUB_PACKAGES/$2" >"$2_1.0_all.deb"
"""
DPKG = """#!/bin/sh
[ "$1" = -x ] || exit 1
cp -R "$(cat "$2")/." "$3"
case "$(cat "$2")" in */"${STUB_INTERRUPTED:-none}") exit 130 ;; esac
"""


# Like clit prepare, which takes seconds to start: OUT.lmdb/keys lists the files of FOLDER.
CLIT = """#!/bin/sh
[ "$1 $2 $3 $4 $6" = "prepare --convert --overwrite -o --" ] || exit 2
mkdir -p "$5" && ls "$7" >"$5/keys"
"""
REAL_CLIT = "import sys; from clit_plugin.commands.cli import main; sys.exit(main())"


class Workplace:
    """The scripts, in a repository whose list names small pictures in packages of its own."""

    def __init__(self, folder: Path):
        self.root, self.stubs, self.packages = folder / "a repository", folder / "stubs", folder / "packages"
        self.folder, self.log = folder / "my photographs", folder / "apt.log"
        (self.root / "scripts").mkdir(parents=True)
        (self.root / ".venv" / "bin").mkdir(parents=True)
        self.stubs.mkdir()
        for name in ("photographs.sh", "photographs.py"):
            shutil.copy(ROOT / "scripts" / name, self.root / "scripts")
        self.write(self.root / ".venv" / "bin" / "python", f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
        self.clit = self.root / ".venv" / "bin" / "clit"
        self.write(self.clit, CLIT)
        self.write(self.stubs / "apt-get", APT)
        self.write(self.stubs / "dpkg", DPKG)
        rows = []
        for number, ((package, original), (size, split, factor)) in enumerate(ORIGINALS.items()):
            path = self.packages / package / original
            path.parent.mkdir(parents=True, exist_ok=True)
            pixels = np.random.default_rng(number).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
            Image.fromarray(pixels).save(path)
            sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
            rows.append([f"{number}.png", split, package, original, factor, f"Author {number}", "CC0-1.0", sha256])
        self.write_list(rows)

    @staticmethod
    def write(path: Path, text: str) -> None:
        path.write_text(text)
        path.chmod(0o755)

    def write_list(self, rows: list[list]) -> None:
        self.rows = rows
        with (self.root / "scripts" / "photographs.csv").open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(photographs.Photograph.__dataclass_fields__)
            writer.writerows(rows)

    def run(self, *arguments: str, path: str | None = None, **environment: str) -> subprocess.CompletedProcess:
        search = f"{self.stubs}:{os.environ['PATH']}" if path is None else path
        stubs = {"STUB_LOG": str(self.log), "STUB_PACKAGES": str(self.packages), "STUB_ABSENT": ""}
        return subprocess.run(
            [shutil.which("bash"), str(self.root / "scripts" / "photographs.sh"), *(arguments or [str(self.folder)])],
            capture_output=True,
            text=True,
            timeout=200,
            cwd=ROOT,
            env={**os.environ, **stubs, "PATH": search, **environment},
        )

    def downloaded(self) -> list[str]:
        """The packages that were asked for since the last look."""
        names = self.log.read_text().split() if self.log.exists() else []
        self.log.unlink(missing_ok=True)
        return names

    def written(self) -> set[str]:
        splits = photographs.SPLITS
        return {f"{split}/{path.name}" for split in splits for path in (self.folder / split).glob("*")}

    def keys(self, split: str) -> list[str]:
        return (self.folder / f"{split}.lmdb" / "keys").read_text().split()


@pytest.fixture
def workplace(tmp_path):
    return Workplace(tmp_path)


def test_the_sets_hold_the_reduced_originals_as_png_and_in_lmdbs(workplace):
    workplace.write(workplace.clit, f'#!/bin/sh\nexec "{sys.executable}" -c "{REAL_CLIT}" "$@"\n')
    result = workplace.run()
    assert result.returncode == 0, result.stderr
    names = {path.name for path in workplace.folder.iterdir()}
    assert names == {"train", "held_out", "train.lmdb", "held_out.lmdb", "CREDITS.md"}
    for split, heights_widths in (("train", {"0": (23, 30), "2": (25, 35)}), ("held_out", {"1": (22, 30)})):
        assert read_meta_info(workplace.folder / f"{split}.lmdb") == heights_widths
        for key, (height, width) in heights_widths.items():
            with Image.open(workplace.folder / split / f"{key}.png") as image:
                assert (image.format, image.mode, image.size) == ("PNG", "RGB", (width, height))


def test_a_second_run_downloads_nothing(workplace):
    workplace.run()
    assert workplace.downloaded() == ["wallpapers-a", "wallpapers-b"]
    result = workplace.run()
    assert result.returncode == 0, result.stderr
    assert workplace.downloaded() == []


def test_only_the_package_of_a_lost_photograph_is_downloaded_again(workplace):
    workplace.run()
    workplace.downloaded()
    (workplace.folder / "train" / "2.png").unlink()
    assert workplace.run().returncode == 0
    assert workplace.downloaded() == ["wallpapers-b"]
    assert "train/2.png" in workplace.written()


def test_interrupted_while_unpacking_it_exits_130_and_the_next_run_resumes(workplace):
    assert workplace.run(STUB_INTERRUPTED="wallpapers-b").returncode == 130
    assert workplace.downloaded() == ["wallpapers-a", "wallpapers-b"]
    assert workplace.written() == set()
    assert workplace.run().returncode == 0
    assert workplace.downloaded() == ["wallpapers-b"]
    assert len(workplace.written()) == 3


def test_the_credits_name_author_licence_source_and_reduction(workplace):
    workplace.run()
    lines = (workplace.folder / "CREDITS.md").read_text().splitlines()
    assert "| held_out/1.png | Author 1 | CC0-1.0 | wallpapers-a: usr/share/backgrounds/Sea.png | 3 |" in lines
    assert sum(line.startswith(("| train/", "| held_out/")) for line in lines) == 3


def test_a_changed_original_is_named_and_left_out_of_sets_and_credits(workplace):
    path = workplace.packages / "wallpapers-a" / "usr/share/backgrounds/Hill by X.jpg"
    path.write_bytes(path.read_bytes() + b"\0")
    result = workplace.run()
    assert result.returncode == 1
    assert "0.png was skipped" in result.stderr
    assert "Hill by X.jpg of wallpapers-a differs from the file in the list" in result.stderr
    assert workplace.written() == {"held_out/1.png", "train/2.png"}
    assert workplace.keys("train") == ["2.png"]
    assert "Author 0" not in (workplace.folder / "CREDITS.md").read_text()


def test_an_unavailable_package_is_named_and_added_to_the_lmdb_by_a_later_run(workplace):
    result = workplace.run(STUB_ABSENT="wallpapers-b")
    assert result.returncode == 1
    assert "no wallpapers-b from apt" in result.stderr
    assert "Unable to locate package wallpapers-b" in result.stderr
    assert workplace.keys("train") == ["0.png"]
    assert workplace.run().returncode == 0
    assert workplace.keys("train") == ["0.png", "2.png"]


def test_offline_it_fails_in_one_line_that_names_the_remedy(workplace):
    result = workplace.run(STUB_ABSENT="wallpapers-a wallpapers-b")
    assert result.returncode == 1
    (line,) = result.stderr.splitlines()
    assert "offline" in line
    assert "clit prepare" in line
    assert workplace.downloaded() == ["wallpapers-a"]
    assert workplace.written() == set()


def test_without_apt_it_fails_in_one_line_and_writes_nothing(workplace, tmp_path):
    tools = tmp_path / "tools"
    tools.mkdir()
    for tool in ("dirname", "sh", "dpkg"):
        (tools / tool).symlink_to(shutil.which(tool) or "/bin/true")
    result = workplace.run(path=str(tools))
    assert result.returncode == 2
    (line,) = result.stderr.splitlines()
    assert "apt-get is not installed" in line
    assert "clit prepare" in line
    assert not workplace.folder.exists()


def test_a_photograph_that_moved_to_the_other_set_is_refused(workplace):
    workplace.run()
    workplace.write_list([[row[0], "held_out", *row[2:]] if row[0] == "2.png" else row for row in workplace.rows])
    result = workplace.run()
    assert result.returncode == 2
    assert f"{workplace.folder}/train/2.png" in result.stderr
    assert "held_out/2.png" not in workplace.written()


@pytest.mark.parametrize(
    ("arguments", "named"), [(["--force", "a"], "--force"), (["a", "b"], "a, b"), ([""], "FOLDER is missing")]
)
def test_bad_arguments_are_refused_in_one_line(workplace, arguments, named):
    result = workplace.run(*arguments)
    assert result.returncode == 2
    (line,) = result.stderr.splitlines()
    assert named in line


def test_help_describes_the_output_and_the_exit_statuses(workplace):
    result = workplace.run("--help")
    assert result.returncode == 0
    for word in ("FOLDER", "held_out.lmdb", "CREDITS.md", "clit prepare", "Exit status", "130"):
        assert word in result.stdout
    assert workplace.downloaded() == []


@pytest.mark.parametrize("factor", [2, 3])
def test_a_reduced_checkerboard_is_flat_grey(factor):
    """Without antialiasing, a board of single pixels comes out black, white or striped."""
    rows, columns = np.indices((60 * factor + 1, 40 * factor + factor - 1))
    board = Image.fromarray(((rows + columns) % 2 * 255).astype(np.uint8))
    pixels = np.asarray(photographs.reduced(board, factor))
    assert pixels.shape == (60, 40, 3)
    assert np.abs(pixels[3:-3, 3:-3].astype(int) - 127.5).max() < 12


def test_the_shipped_list_has_the_demos_held_out_four_and_each_photograph_once():
    shipped = photographs.read_list(ROOT / "scripts" / "photographs.csv")
    held_out = {photograph.file for photograph in shipped if photograph.split == "held_out"}
    assert held_out >= {"astronaut.png", "chelsea.png", "coffee.png", "rocket.png"}
    assert len(held_out) == 8
    assert {photograph.split for photograph in shipped} == set(photographs.SPLITS)
    for field in ("file", "sha256"):
        assert len({getattr(photograph, field) for photograph in shipped}) == len(shipped)
    assert len({(photograph.package, photograph.original) for photograph in shipped}) == len(shipped)
    assert all(photograph.author and photograph.licence for photograph in shipped)
    assert {photograph.factor for photograph in shipped if photograph.package != photographs.SCIKIT_IMAGE} == {2, 3}


def test_the_installed_scikit_image_has_the_files_of_the_shipped_list(tmp_path):
    shipped = photographs.read_list(ROOT / "scripts" / "photographs.csv")
    ours = [photograph for photograph in shipped if photograph.package == photographs.SCIKIT_IMAGE]
    assert ours
    assert photographs.write_all(ours, tmp_path, tmp_path / "no packages") == 0
    for photograph in ours:
        with Image.open(photograph.source(tmp_path)) as original:
            with Image.open(tmp_path / photograph.split / photograph.file) as image:
                np.testing.assert_array_equal(np.asarray(image), np.asarray(original.convert("RGB")))
