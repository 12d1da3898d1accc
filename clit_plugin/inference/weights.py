"""A network, ready to use, from a weights file."""

import argparse
from collections.abc import Mapping

import torch
from basicsr.utils.registry import ARCH_REGISTRY

from clit_plugin.archs.arbitrary_scale_arch import ArbitraryScaleArch
from clit_plugin.errors import UserError
from clit_plugin.models.warm_start import load_stage, read_checkpoint, read_weights
from clit_plugin.options import build_network, check_network
from clit_plugin.yaml_files import read_options


def add_network_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what every command that applies a network has: which weights of a file, and the device."""
    parser.add_argument(
        "--param-key",
        choices=("params", "params_ema"),
        help="which weights of the file; by default the averaged ones (params_ema) where there are some",
    )
    parser.add_argument("--device", default="auto", help="cpu, cuda, cuda:1, ...; by default a GPU where there is one")


def add_option_file_argument(parser: argparse.ArgumentParser) -> None:
    """Declare ``-opt``."""
    parser.add_argument(
        "-opt", metavar="YAML", help="option file with network_g, for weights files that do not hold it themselves"
    )


def choose_device(name: str) -> torch.device:
    """Turn ``auto`` or torch's name of a device into one that is there.

    Raises:
        UserError: No such device here.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        return torch.empty(0, device=name).device
    except (RuntimeError, AssertionError, ValueError) as error:
        raise UserError(f"--device {name}: not usable here; cpu always is, or leave it out") from error


def load_network(
    weights: str,
    option_file: str | None = None,
    *,
    param_key: str | None = None,
    device: torch.device | str = "cpu",
) -> ArbitraryScaleArch:
    """Build a network and load its weights, for inference.

    Args:
        weights: A file in BasicSR's layout.
        option_file: Where ``network_g`` stands; by default in the weights file itself, beside the weights.
        param_key: ``params`` or ``params_ema``; by default the latter where there is one, as in validation.
        device: Where to put it.

    Returns:
        The network in evaluation mode, without gradients.

    Raises:
        UserError: A file that is missing or of another kind, options that are wrong, or weights that do not fit them.
    """
    checkpoint = read_checkpoint(weights)
    if "params" not in checkpoint and "params_ema" not in checkpoint:
        hint = "; 'clit convert' reads those of the original code" if "model" in checkpoint else ""
        raise UserError(f"{weights}: holds no 'params' or 'params_ema', so it is no weights file of BasicSR{hint}")
    if option_file is not None:
        network, source = read_options(option_file).get("network_g"), option_file
    else:
        network, source = checkpoint.get("network_g"), weights
    if not isinstance(network, Mapping):
        hint = "" if option_file else "; give the option file it was trained by, -opt YAML"
        raise UserError(f"{source}: holds no network_g{hint}")
    try:
        net = build_network(check_network(network))
    except UserError as error:
        known = network.get("type") in ARCH_REGISTRY
        hint = "" if option_file or known else "; for a system of your own give -opt YAML, which imports its module"
        raise UserError(f"{source}: {error}{hint}") from error
    if not isinstance(net, ArbitraryScaleArch):
        raise UserError(f"{source}: {network['type']} is no network that these weights could be for")
    param_key = param_key or ("params_ema" if "params_ema" in checkpoint else "params")
    if param_key not in checkpoint:
        raise UserError(f"{weights}: no '{param_key}' in it, only {', '.join(checkpoint)}")
    load_stage(net, read_weights(weights, param_key), weights, allow_new_branches=False)
    return net.eval().requires_grad_(False).to(device)
