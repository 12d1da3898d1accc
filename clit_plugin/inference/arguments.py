"""The arguments that the commands share which apply a network."""

import argparse


def add_network_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what every command that applies a network has: which weights of a file, and the device."""
    add_param_key_argument(parser)
    parser.add_argument("--device", default="auto", help="cpu, cuda, cuda:1, ...; by default a GPU where there is one")


def add_param_key_argument(parser: argparse.ArgumentParser) -> None:
    """Declare ``--param-key``."""
    parser.add_argument(
        "--param-key",
        choices=("params", "params_ema"),
        help="which weights of the file; by default the averaged ones (params_ema) where there are some",
    )


def add_option_file_argument(parser: argparse.ArgumentParser) -> None:
    """Declare ``-opt``."""
    parser.add_argument(
        "-opt",
        metavar="YAML",
        help="option file: its custom_imports are imported, and its network_g serves weights that hold none themselves",
    )
