"""A network, ready to use, from a weights file."""

from typing import Any, NamedTuple

import torch

from clit_plugin.archs.arbitrary_scale_arch import ArbitraryScaleArch
from clit_plugin.archs.weights import load_trained, read_checkpoint
from clit_plugin.config.stored_network import build_stored_network
from clit_plugin.config.yaml_files import read_options
from clit_plugin.utils.errors import UserError


class LoadedNetwork(NamedTuple):
    """What a weights file gives.

    net: In evaluation mode, without gradients.
    network: Its checked options, ``network_g``.
    param_key: Which weights of the file it has, ``params`` or ``params_ema``.
    rest: What the file holds beside weights; not checked.
    """

    net: ArbitraryScaleArch
    network: dict[str, Any]
    param_key: str
    rest: dict[str, Any]


def choose_device(name: str) -> torch.device:
    """Turn ``auto`` or torch's name of a device into one that is there.

    Raises:
        UserError: No such device here.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        number = torch.ones(1, device=name)
        number.item()  # which "meta" has none of
        return number.device
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
        weights: A .pth file in BasicSR's layout, or a .safetensors file.
        option_file: Modules of its ``custom_imports`` are imported; its ``network_g`` serves a file without its own.
        param_key: ``params`` or ``params_ema``; by default the latter where there is one, as in validation.
        device: Where to put it.

    Returns:
        The network in evaluation mode, without gradients.

    Raises:
        UserError: A file that is missing or of another kind, options that are wrong, or weights that do not fit them.
    """
    return load_described(weights, option_file, param_key=param_key).net.to(device)


def load_described(weights: str, option_file: str | None = None, *, param_key: str | None = None) -> LoadedNetwork:
    """The network, as of ``load_network``, on the CPU, and what its file says of it."""
    checkpoint = read_checkpoint(weights)
    given = None if option_file is None else read_options(option_file).get("network_g")
    stored = build_stored_network(checkpoint, weights, given, option_file)
    net = stored.net
    if not isinstance(net, ArbitraryScaleArch):
        raise UserError(f"{stored.source}: {stored.options['type']} is no network that these weights could be for")
    param_key = load_trained(net, checkpoint, param_key, weights)
    rest = {key: value for key, value in checkpoint.items() if key not in ("params", "params_ema")}
    return LoadedNetwork(net.eval().requires_grad_(False), stored.options, param_key, rest)
