"""A network from its options, as ``network_g`` of an option file has them."""

import copy
from collections.abc import Mapping
from typing import Any

import torch
from basicsr.utils.registry import ARCH_REGISTRY

from clit_plugin.utils.error_location import errors_at


def build_network(network: Mapping[str, Any]) -> torch.nn.Module:
    """Build a network from its options.

    Raises:
        UserError: A value that the network or its encoder refuses.
    """
    arguments = {name: value for name, value in copy.deepcopy(dict(network)).items() if name != "type"}
    architecture = ARCH_REGISTRY.get(network["type"])
    with errors_at("network_g", architecture):
        return architecture(**arguments)
