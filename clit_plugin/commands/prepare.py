"""``clit prepare``: write a folder of images into an LMDB that BasicSR reads."""

import argparse
from pathlib import Path

DESCRIPTION = """\
Write every image below FOLDER into an LMDB, as PNG, for fast training from any disk. Keys are the paths below FOLDER
without extension ("a/0001"). After an interruption the same command continues where it stopped; at the end every image
is read back and checked. OUT.lmdb appears when it is complete; until then the work is in OUT.lmdb.partial.

examples:
  whole images:
    clit prepare datasets/DIV2K/DIV2K_valid_HR -o datasets/DIV2K/DIV2K_valid_HR.lmdb
  overlapping crops of 480 x 480, which are faster to read in training (for LR images divide both numbers by the scale):
    clit prepare datasets/DIV2K/DIV2K_train_HR -o datasets/DIV2K/DIV2K_train_HR_sub.lmdb --sub-image 480 --step 240

exit status: 0 done, 2 bad input, 130 interrupted
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="image folder, searched with all its subfolders")
    parser.add_argument(
        "-o", "--output", type=Path, required=True, metavar="OUT.lmdb", help="the LMDB folder to write, ending in .lmdb"
    )
    parser.add_argument(
        "--sub-image", type=_positive, metavar="SIZE", help="cut SIZE x SIZE crops, keys KEY_s001, KEY_s002, ..."
    )
    parser.add_argument("--step", type=_positive, help="distance between crops (default: half of SIZE)")
    parser.add_argument(
        "--convert",
        action="store_true",
        help="convert grey, transparent and 16-bit images to 8-bit RGB (default: refuse them)",
    )
    parser.add_argument(
        "--keep-extension",
        action="store_true",
        help='leave the extension in the keys ("a/0001.jpg"), which keeps 0001.jpg and 0001.png apart',
    )
    parser.add_argument(
        "--overwrite", action="store_true", help="replace an existing OUT.lmdb, once the new one is complete"
    )
    parser.add_argument("--workers", type=_positive, help="decoding threads (default: number of CPUs, at most 8)")


def run(args: argparse.Namespace) -> int:
    """Write the LMDB; raises UserError for bad input, as ``prepare_lmdb``."""
    from clit_plugin.data.lmdb_files.prepare import prepare_lmdb

    prepare_lmdb(
        folder=args.folder,
        output=args.output,
        sub_image=args.sub_image,
        step=args.step,
        convert=args.convert,
        keep_extension=args.keep_extension,
        overwrite=args.overwrite,
        workers=args.workers,
    )
    return 0


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number above 0, got {text!r}")
    return int(text)
