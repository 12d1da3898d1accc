"""The network that a weights file belongs to."""

import inspect
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from basicsr.utils.registry import ARCH_REGISTRY
from torch import nn

from clit_plugin.archs.build import build_network
from clit_plugin.archs.encoders import ENCODER_REGISTRY
from clit_plugin.config.components import check_network
from clit_plugin.utils.console import warn
from clit_plugin.utils.errors import UserError, located


@dataclass(frozen=True)
class StoredNetwork:
    """A network as a weights file describes it.

    Attributes:
        options: Checked ``network_g``.
        net: Built from these options, with random weights.
        source: The file that the options are from.
    """

    options: dict[str, Any]
    net: nn.Module
    source: str


def build_stored_network(
    checkpoint: Mapping[str, Any], weights: str, given: Any = None, option_file: str | None = None
) -> StoredNetwork:
    """Build the network that weights belong to.

    Args:
        checkpoint: Content of ``weights``.
        weights: The file, for errors.
        given: ``network_g`` of ``option_file``, for weights files that hold none; if it differs from the stored one,
            the stored one is used, with a warning.
        option_file: The option file, whose ``custom_imports`` have been imported.

    Raises:
        UserError: Not a weights file, no network in either, or one that cannot be built.
    """
    if "params" not in checkpoint and "params_ema" not in checkpoint:
        hint = "; 'clit convert' reads those of the original code" if "model" in checkpoint else ""
        raise UserError(f"{weights}: holds no 'params' or 'params_ema', so it is not a weights file of BasicSR{hint}")
    stored = checkpoint.get("network_g")
    network, source = (stored, weights) if isinstance(stored, Mapping) else (given, option_file or weights)
    if not isinstance(network, Mapping):
        hint = "" if option_file else "; give the option file it was trained with, -opt YAML"
        raise UserError(f"{source}: holds no network_g{hint}")
    name = network.get("type")
    if option_file is None and isinstance(name, str) and name not in ARCH_REGISTRY:
        raise UserError(
            f"{source}: network_g.type: {name} is not registered; for a system of your own give -opt YAML, which "
            "imports its module"
        )
    with located(source):
        checked = check_network(network)
        net = build_network(checked)
    if source == weights and isinstance(given, Mapping) and (differences := list(_differences(checked, given))):
        warn(f"{option_file}: its network_g is ignored, {weights} holds its own (there {', '.join(differences)})")
    return StoredNetwork(checked, net, source)


def _differences(stored: Mapping[str, Any], given: Mapping[str, Any], where: str = "") -> Iterator[str]:
    """Options of ``stored`` that differ from ``given``; missing ones have their defaults."""
    registry = ENCODER_REGISTRY if where else ARCH_REGISTRY
    if given.get("type", stored["type"]) != stored["type"]:
        yield f"{where}type is {stored['type']}"
        return
    defaults = inspect.signature(registry.get(stored["type"])).parameters
    for name, value in given.items():
        own = stored.get(name, defaults[name].default if name in defaults else None)
        if isinstance(own, Mapping) and isinstance(value, Mapping) and name == "encoder":
            yield from _differences(own, value, f"{name}.")
        elif _plain(own) != _plain(value):
            yield f"{where}{name} is {own}"


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
