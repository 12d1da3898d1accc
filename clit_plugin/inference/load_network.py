"""Loading a network from a weights file, for inference."""

from typing import Any, NamedTuple

import torch

from clit_plugin.archs.arbitrary_scale_arch import ArbitraryScaleArch
from clit_plugin.archs.weights import load_trained, read_checkpoint
from clit_plugin.config.stored_network import build_stored_network
from clit_plugin.config.yaml_files import read_options
from clit_plugin.utils.errors import UserError


class LoadedNetwork(NamedTuple):
    """A network and the rest of its weights file.

    net: In evaluation mode, without gradients.
    network: Its checked options, ``network_g``.
    param_key: Which weights of the file were loaded, ``params`` or ``params_ema``.
    rest: The file's content except for weights; not checked.
    """

    net: ArbitraryScaleArch
    network: dict[str, Any]
    param_key: str
    rest: dict[str, Any]


def choose_device(name: str, *, option: str = "--device ") -> torch.device:
    """The device for ``auto`` or for torch's name of a device, which errors call ``option`` with the name after it.

    Raises:
        UserError: The device does not exist or cannot be used.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        number = torch.ones(1, device=name)
        number.item()  # fails on "meta"
        return number.device
    except (RuntimeError, AssertionError, ValueError) as error:
        raise UserError(f"{option}{name}: not available on this machine; use cpu or auto") from error


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
        option_file: Its ``custom_imports`` are imported; its ``network_g`` is used if the weights file has none.
        param_key: ``params`` or ``params_ema``; by default ``params_ema`` if the file has it, as in validation.
        device: The device of the network.

    Returns:
        The network in evaluation mode, without gradients.

    Raises:
        UserError: A missing or unreadable file, bad options, or weights that do not fit them.
    """
    return load_described(weights, option_file, param_key=param_key).net.to(device)


def load_described(weights: str, option_file: str | None = None, *, param_key: str | None = None) -> LoadedNetwork:
    """As ``load_network``, on the CPU, with the rest of the weights file."""
    checkpoint = read_checkpoint(weights)
    network = None if option_file is None else read_options(option_file).get("network_g")
    stored = build_stored_network(checkpoint, weights, network, option_file)
    net = stored.net
    if not isinstance(net, ArbitraryScaleArch):
        raise UserError(f"{stored.source}: network_g.type: {stored.options['type']} does not take weights")
    param_key = load_trained(net, checkpoint, param_key, weights)
    rest = {key: value for key, value in checkpoint.items() if key not in ("params", "params_ema")}
    return LoadedNetwork(net.eval().requires_grad_(False), stored.options, param_key, rest)
