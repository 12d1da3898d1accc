"""Arguments that commands share."""

import argparse

from clit_plugin.utils.startup import under_torchrun


def add_network_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare ``--param-key`` and ``--device``, for commands that apply a network."""
    add_param_key_argument(parser)
    parser.add_argument("--device", default="auto", help="cpu, cuda, cuda:1, ...; by default a GPU if available")


def add_param_key_argument(parser: argparse.ArgumentParser) -> None:
    """Declare ``--param-key``."""
    parser.add_argument(
        "--param-key",
        choices=("params", "params_ema"),
        help="which weights of the file to use; by default the averaged ones (params_ema) if it has any",
    )


def add_option_file_argument(parser: argparse.ArgumentParser) -> None:
    """Declare ``-opt``."""
    parser.add_argument(
        "-opt",
        metavar="YAML",
        help="option file: its custom_imports are imported, and its network_g is used if the weights file has none",
    )


def add_option_arguments(parser: argparse.ArgumentParser, *, many: bool, required: bool = True) -> None:
    """Declare the arguments that training and testing share.

    Args:
        parser: The command's parser.
        many: Whether several option files may be given.
        required: Whether there must be one.
    """
    parser.add_argument(
        "-opt", "--opt", required=required, nargs="+" if many else None, metavar="YML", help="option file"
    )
    parser.add_argument(
        "--set", nargs="+", default=[], metavar="KEY=VALUE", help="override options, such as train.total_iter=1000"
    )
    # Older launchers pass it (BasicSR #626); torchrun sets LOCAL_RANK in the environment.
    parser.add_argument("--local_rank", "--local-rank", type=int, help=argparse.SUPPRESS)
    # BasicSR's scripts pass it; torchrun is recognised by the environment.
    parser.add_argument("--launcher", type=_launcher, help=argparse.SUPPRESS)


def _launcher(name: str) -> str:
    if name not in ("none", "pytorch"):
        raise argparse.ArgumentTypeError(f"expected none or pytorch, got {name!r}")
    if name == "pytorch" and not under_torchrun():
        raise argparse.ArgumentTypeError("start with torchrun --nproc_per_node=N -m clit_plugin.train ...")
    return name


def add_quiet_argument(parser: argparse.ArgumentParser, *, default: object = False) -> None:
    """Declare ``--quiet``; subcommands pass ``argparse.SUPPRESS`` as default, which keeps the outer parser's value."""
    parser.add_argument("-q", "--quiet", action="store_true", default=default, help="print only warnings and errors")
