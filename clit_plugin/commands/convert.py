"""``clit convert``: turn checkpoints of the original repositories into weights files of this plugin."""

import argparse
import sys
import time
from pathlib import Path

from clit_plugin.utils.console import say, written
from clit_plugin.utils.errors import UserError

DESCRIPTION = """\
Convert a checkpoint of the original CLIT, LIIF, LTE or Meta-SR code into a weights file of this plugin.

The output has BasicSR's layout, {'params': weights}, with the network's options under 'network_g'; these options are
also printed as YAML for an option file. No code in the checkpoint is executed: a file with anything but tensors and
plain values is refused.

example:
  clit convert edsr-baseline-liif.pth -o liif.pth

exit status: 0 done, 2 bad input"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("checkpoint", metavar="CHECKPOINT", help="checkpoint of the original code")
    parser.add_argument("-o", "--output", metavar="FILE", required=True, help="weights file to write")
    parser.add_argument("--overwrite", action="store_true", help="replace an existing FILE")


def run(args: argparse.Namespace) -> int:
    """Convert the checkpoint; raises UserError for bad input."""
    import yaml

    from clit_plugin.official.convert import convert_official
    from clit_plugin.utils.atomic_files import save_whole
    from clit_plugin.utils.output_files import check_replaces_none, check_writable

    start = time.monotonic()
    output = Path(args.output)
    if output.is_dir():
        raise UserError(f"{output}: is a folder; give a file name")
    if output.exists() and not args.overwrite:
        raise UserError(f"{output}: already exists; --overwrite replaces it")
    if not output.parent.is_dir():
        raise UserError(f"{output.parent}: no such folder to write to")
    check_replaces_none([output], [("checkpoint", args.checkpoint)])
    check_writable(output)
    options, net = convert_official(args.checkpoint)
    save_whole({"params": net.state_dict(), "network_g": options}, output)
    plain = {"network_g": options, "path": {"pretrain_network_g": str(output), "param_key_g": "params"}}
    sys.stdout.write(yaml.safe_dump(plain, sort_keys=False))
    say(written(output, time.monotonic() - start))
    return 0
