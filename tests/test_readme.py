"""Every command and snippet of the README files, run as printed, in the order of the page.

They run in a copy of the repository in which only data and sizes differ: tiny photographs, and option files with a tiny
network and few steps. Three things cannot be run as they are: the set-up (it is done), the tests that
``scripts/test.sh`` would start within a test, and ``torchrun`` with four GPUs, in place of which one process trains
with its arguments.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import av
import pytest
import torch
import yaml
from command_server import serving
from PIL import Image
from train_helpers import write_images, write_lr
from video_clips import pictures, write_clip

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "scripts"))
from demo_data import TRAIN, VAL  # noqa: E402

# In this order: what later pages train with is prepared by the README.
RUN = [ROOT / "README.md"]
RUN += [ROOT / "clit_plugin" / room / "README.md" for room in ("archs", "data", "evaluation", "figures", "inference")]
PAGES = sorted([ROOT / "README.md", *(ROOT / "options").glob("*.md"), *(ROOT / "clit_plugin").rglob("README.md")])
PAGES += sorted((ROOT / "scripts").rglob("*.md"))
TINY_NETWORK = {"dim": 8, "num_heads": 2, "local_grid": 3, "decoder_hidden": [8, 8]}
TORCHRUN = """#!/bin/sh
while [ "$1" != -m ]; do shift; done
exec python "$@"
"""


def shrink(file: Path) -> None:
    """Give an option file a tiny network, tiny crops and two steps, where it says anything of these."""
    options = yaml.safe_load(file.read_text(encoding="utf-8"))
    if options.get("network_g", {}).get("type") == "CLIT":
        options["network_g"] |= TINY_NETWORK
    if options.get("network_g", {}).get("encoder") == {"type": "EDSRBaseline"}:
        options["network_g"]["encoder"] |= {"num_feat": 8, "num_block": 1}
    train_set = options.get("datasets", {}).get("train", {})
    if "lq_size" in train_set:
        train_set |= {"lq_size": 8, "batch_size_per_gpu": 2, "dataset_enlarge_ratio": 2}
        train_set |= {"num_worker_per_gpu": 0, "persistent_workers": False, "pin_memory": False}
    if "total_iter" in options.get("train", {}):
        options["train"]["total_iter"] = 2
        scheduler = options["train"].get("scheduler", {})
        scheduler |= {key: [2] for key in ("periods", "milestones") if key in scheduler}
    if "val_freq" in options.get("val", {}):
        options["val"]["val_freq"] = 2
    file.write_text(yaml.safe_dump(options), encoding="utf-8")


def write_data(folder: Path) -> None:
    """Stand-ins for the files that the commands name."""
    write_images(folder / "photos", 20, (70, 66))
    write_images(folder / "album", 1, (12, 200))  # wide: small, even where it fits 1920x1080
    with Image.open(folder / "photos" / "0001.png") as image:
        image.save(folder / "photo.jpg")
        for name in ("photo.png", "page.png", "more.png"):
            image.resize((128, 116)).save(folder / name)
    write_clip(folder / "clip.mp4", pictures(2, (432, 16)))
    div2k = folder / "datasets" / "DIV2K"
    write_images(div2k / "DIV2K_train_HR", 2, (40, 44))
    write_images(div2k / "DIV2K_valid_HR", 1, (120, 132))
    for scale in (2, 3, 4):
        write_lr(div2k / "DIV2K_valid_HR", div2k / "DIV2K_valid_LR_bicubic" / f"X{scale}", scale)
    for name in ("Set5", "Set14", "B100", "Urban100"):
        write_images(folder / "datasets" / name / "HR", 1, (48, 60))
    for name in ("net_g_latest", "lit", "clit"):
        shutil.copy(ROOT / "clit_plugin" / "weights" / "clit_small.pth", folder / f"{name}.pth")
    # In place of scikit-image's photographs.
    for package in ("skimage", "skimage/data"):
        (folder / package).mkdir()
        (folder / package / "__init__.py").touch()
    for name in TRAIN + VAL:
        with Image.open(folder / "photos" / "0002.png") as image:
            image.save(folder / "skimage" / "data" / name)


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    """A copy of the repository with tiny data and options, whose commands are run by a server."""
    folder = tmp_path_factory.mktemp("checkout")
    for name in ("clit_plugin", "options", "scripts"):
        shutil.copytree(ROOT / name, folder / name)
    for file in (folder / "options").rglob("*.yml"):
        shrink(file)
    (folder / "scripts" / "setup.sh").write_text("exit 0\n")
    write_data(folder)
    with serving(folder / "served", folder) as commands:
        (folder / ".venv").mkdir()
        (folder / ".venv" / "bin").symlink_to(commands)
        add_commands(commands)
        yield folder


def add_commands(commands: Path) -> None:
    """What the pages use beside ``clit`` and ``python``."""
    for name, text in (("torchrun", TORCHRUN), ("lint-imports", "#!/bin/sh\n")):
        (commands / name).write_text(text)
        (commands / name).chmod(0o755)
    (commands / "activate").write_text(f"PATH={commands}:$PATH\n")


def snippets(page: Path) -> list[tuple[str, str]]:
    """Kind and text of each block of code."""
    return re.findall(r"^```(\w+)\n(.*?)^```$", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)


def run_page(page: Path, checkout: Path) -> None:
    """Run a page's blocks in order. One whose first line names a file becomes it; option files are trained with."""
    for kind, text in snippets(page):
        name = re.match(r"# (\w+\.(?:py|yml))", text)
        if kind == "yaml" and not name:
            text = f"_base_: clit://_base_/stage1.yml\nname: snippet\n{text}"
        if kind != "bash":
            (checkout / (name[1] if name else f"snippet.{kind}")).write_text(text, encoding="utf-8")
        if kind == "yaml":
            text = f"clit train -opt {name[1] if name else 'snippet.yaml'}"
        elif kind == "python":
            text = "" if name else "python snippet.python"
        run_block(text, checkout)


def run_block(block: str, checkout: Path) -> None:
    """Run commands of ``bash``; those of an option file just made get fewer steps, as the file says one may."""
    for command in re.split(r"(?<!\\)\n", block.strip()):
        if command.startswith(("#", "clit convert")):  # it needs a checkpoint of other code; its own tests make some
            continue
        path = f"{checkout / '.venv' / 'bin'}:{os.environ['PATH']}"
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", command],
            cwd=checkout,
            env={**os.environ, "PATH": path},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{command}\n{done.stdout[-2000:]}{done.stderr[-2000:]}"
        if command.startswith("clit options new"):
            shrink(checkout / command.rpartition("> ")[2])


def test_every_command_and_snippet_runs_as_printed(checkout):
    for page in RUN:
        run_page(page, checkout)
    # The demo.
    assert (checkout / "demo_output/demo.png").is_file()
    # Upscaling, of one picture and of a folder.
    with Image.open(checkout / "photo_x3.4.png") as image:
        assert image.size == (224, 238)
    with Image.open(checkout / "album_large/0001.png") as image:
        assert image.size == (1920, 115)
    with av.open(str(checkout / "large.mp4")) as video:
        assert [(frame.width, frame.height) for frame in video.decode(video=0)] == [(40, 1080)] * 2
    # One's own photographs.
    assert (checkout / "experiments/mine/models/net_g_latest.pth").is_file()
    assert (checkout / "results/mine/results.csv").read_text().count("\n") == 4
    assert len(list((checkout / "larger").glob("*.png"))) == 20
    # The stages, the scores of the last one and the report.
    weights = torch.load(checkout / "experiments/edsr_stage3/models/net_g_latest.pth", weights_only=True)
    assert weights["network_g"]["num_branches"] == 3
    assert (checkout / "results/edsr_clit/results.csv").is_file()
    assert "Set5" in (checkout / "report/report.html").read_text()
    # The encoder.
    weights = torch.load(checkout / "experiments/my_run/models/net_g_latest.pth", weights_only=True)
    assert weights["params"]["encoder.0.weight"].shape == (48, 3, 3, 3)
    # The system, an architecture of BasicSR as encoder, figures, and the network from Python.
    for name in ("my_system", "snippet"):
        assert (checkout / "experiments" / name / "models" / "net_g_latest.pth").is_file()
    assert all((checkout / name).is_file() for name in ("crops.png", "text.png", "attention.png"))
    with Image.open(checkout / "photo_large.png") as image:
        assert image.size == (201, 150)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_of_a_page_leads_to_a_file_and_heading(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        if "://" in target:
            continue
        name, _, anchor = target.partition("#")
        file = (page.parent / name).resolve() if name else page
        assert file.exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.*)$", file.read_text(encoding="utf-8"), re.MULTILINE)
            assert anchor in [re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings], target


def test_the_readme_has_at_most_220_lines():
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 220
