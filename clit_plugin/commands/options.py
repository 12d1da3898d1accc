"""``clit options``: a starting option file for your own photographs, and the files shipped with the package."""

import argparse
import re
import sys
from collections.abc import Mapping
from pathlib import Path

from clit_plugin.config.shipped_options import PREFIX, locate, shipped

DESCRIPTION = """\
Print an option file to start from: a short one for your own photographs, or one of those shipped with the package,
which '_base_: clit://NAME' and '-opt clit://NAME' find from any folder.

examples:
  clit options
  clit options show train/edsr_stage1.yml
  clit options new --images photos > my.yml
  clit options new --images photos --val-images others --size paper > my.yml
  clit train -opt my.yml
"""

_MAX_SCALE = 4

_HEAD = """\
# Train:    clit train -opt THIS_FILE
# Upscale:  clit upscale IN -o OUT --weights experiments/{name}/models/net_g_latest.pth --scale 3.4
# options/REFERENCE.md in the repository explains all keys; relative paths start at the working directory.
"""

_SMALL = """\
name: {name}

datasets:
  train:
    name: {set_name}
    dataroot_gt: {images}  # {count}
{held_out}    # LR is made from the photographs with Pillow's bicubic kernel; for pictures from phones and the web
    # write {{type: realistic}} instead.
    degradation: pil
    # Every batch has a scale between these two.{limit}
    scale_ranges: [[[1, 4]]]
    lq_size: {lq_size}  # side of the crops that the network sees
    batch_size_per_gpu: 4
    dataset_enlarge_ratio: {ratio}  # about 400 steps per epoch
    cache: true  # hold the decoded photographs in memory
{validation}
# Small enough for two CPU cores. With a GPU, 'clit options new --size paper' is the paper's network.
network_g:
  type: CLIT
  encoder: {{type: EDSRBaseline, num_feat: 32, num_block: 8}}
  dim: 32
  num_heads: 4
  local_grid: 3
  decoder_hidden: [64, 64, 64, 64]

train:
  total_iter: 3600  # minutes on two CPU cores; more is better, but change periods as well
  warmup_iter: 50
  optim_g: {{type: Adam, lr: 1e-3}}
  scheduler: {{type: CosineAnnealingRestartLR, periods: [3600], eta_min: 1e-5}}
  pixel_opt: {{type: L1Loss}}
  ema_decay: 0.995  # also keep averaged weights

val:
  val_freq: 1800
  metrics:
    psnr: {{type: psnr_float}}

logger:
  print_freq: 100
  save_checkpoint_freq: 400
"""

_PAPER = """\
# The paper's LIT, batches, optimiser and schedule: 1,000,000 steps of 32 crops, for a GPU.
_base_: clit://_base_/stage1.yml

name: {name}

datasets:
  train:
    name: {set_name}
    dataroot_gt: {images}  # {count}
{held_out}    # Every batch has a scale between these two.{limit}
    scale_ranges: [[[1, 4]]]
    dataset_enlarge_ratio: {ratio}  # about 1000 steps per epoch
    num_worker_per_gpu: 8
{validation}
network_g:
  encoder: {{type: EDSRBaseline}}  # or RDN, SwinIR, RCAN, EDSR

train:
  total_iter: 1000000
  ema_decay: 0.999
"""

_VALIDATION = """\
  # Measured during training: PSNR of photographs that are not trained on.
  val:
    name: {name}
    dataroot_gt: {images}
{most}    degradation: pil
    scale: 3
    protocol: benchmark  # luma, without a border of 3 pixels
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION")
    actions.add_parser("list", help="list the shipped files (the default ACTION)")
    show = actions.add_parser("show", help="print one of them")
    show.add_argument("name", metavar="NAME", help="as listed, with or without clit://")
    new = actions.add_parser("new", help="print a new one for your own photographs")
    new.add_argument("--images", required=True, metavar="DIR", help="folder or .lmdb of photographs to train on")
    new.add_argument(
        "--val-images", metavar="DIR", help="photographs to validate on; by default a tenth of --images, held out"
    )
    new.add_argument("--size", choices=("small", "paper"), default="small", help="size of the network (default: small)")
    new.add_argument("--name", help="name of the run (default: that of the folder)")


def run(args: argparse.Namespace) -> int:
    """Print a list or a file.

    Raises:
        UserError: There is no such file, or the photographs cannot be trained on.
    """
    if args.action == "show":
        name = f"{PREFIX}{args.name.removeprefix(PREFIX)}"
        sys.stdout.write(locate(name, None).read_text(encoding="utf-8"))
    elif args.action == "new":
        sys.stdout.write(new_options(args.images, val_images=args.val_images, size=args.size, name=args.name))
    else:
        texts = {name: locate(PREFIX + name, None).read_text(encoding="utf-8") for name in shipped()}
        # In one write, as a reader such as head may close its end after the first lines.
        sys.stdout.write("".join(f"{PREFIX}{name}  {text.partition(chr(10))[0]}\n" for name, text in texts.items()))
    return 0


def new_options(images: str, *, val_images: str | None = None, size: str = "small", name: str | None = None) -> str:
    """The text of an option file for your own photographs.

    Args:
        images: Folder or LMDB to train on.
        val_images: Folder or LMDB to validate on; by default a tenth of ``images``, at most ten, are held out.
        size: ``small``, as in the demo, or ``paper``.
        name: Name of the run; by default the folder's.

    Raises:
        UserError: There are no photographs, or they are too small.
    """
    from clit_plugin.data.image_source import ImageSource
    from clit_plugin.data.scale_reach import ScaleReach

    sizes = ImageSource(images).sizes
    lq_size, batch, steps = (32, 4, 400) if size == "small" else (48, 32, 1000)
    smallest = min(sizes.values(), key=min)
    ScaleReach(sizes, lq_size=lq_size, max_scale=_MAX_SCALE).check()
    set_name = _folder_name(images)
    kept = 0 if val_images else min(10, max(len(sizes) // 10, 1), len(sizes) - 1)
    values = {
        "name": _scalar(name or set_name),
        "set_name": _scalar(set_name),
        "images": _scalar(images),
        "count": f"{len(sizes)} photographs, the smallest {smallest[1]}x{smallest[0]}",
        "held_out": f"    skip_images: {kept}  # held out for validation\n" * bool(kept),
        "limit": _limit(sizes, lq_size),
        "lq_size": lq_size,
        "ratio": max(1, round(steps * batch / (len(sizes) - kept))),
        "validation": "",
    }
    if val_images or kept:
        of_folder = _folder_name(val_images) if val_images else set_name
        values["validation"] = _VALIDATION.format(
            name=_scalar(f"{of_folder}_x3"),
            images=_scalar(val_images or images),
            most=f"    max_images: {kept}\n" * bool(kept),
        )
    return (_HEAD + "\n" + (_SMALL if size == "small" else _PAPER)).format(**values)


def _folder_name(path: str) -> str:
    """A folder's name, fit for one below experiments/."""
    return re.sub(r"[^\w.-]+", "_", Path(path).resolve().name.removesuffix(".lmdb")) or "photographs"


def _limit(sizes: Mapping[str, tuple[int, int]], lq_size: int) -> str:
    """A comment on photographs that are too small for the largest scale."""
    limits = [min(one) / lq_size for one in sizes.values()]
    small = sum(limit < _MAX_SCALE for limit in limits)
    if not small:
        return ""
    return (
        f" {small} of the photographs {'are' if small > 1 else 'is'} too small for x{_MAX_SCALE};\n"
        f"    # the smallest caps its batch at x{min(limits):.2g}."
    )


def _scalar(text: str) -> str:
    """A text as a YAML scalar on one line."""
    from clit_plugin.utils.plain_yaml import read_yaml

    plain = re.fullmatch(r"[\w./~][\w./~-]*", text) and read_yaml(text) == text
    return text if plain else "'" + text.replace("'", "''") + "'"
