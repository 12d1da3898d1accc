"""Where encoders register, and how one is built from options."""

from collections.abc import Mapping
from typing import Any

from basicsr.utils.registry import Registry
from torch import nn

from clit_plugin.utils.error_location import located_message
from clit_plugin.utils.errors import UserError

ENCODER_REGISTRY = Registry("encoder")


def build_encoder(options: Mapping[str, Any]) -> nn.Module:
    """Build an encoder.

    The contract: input (B, 3, H, W) in [-1, 1], output (B, out_channels, H, W), for every H and W (padding and
    cropping are the encoder's own business), and an attribute ``out_channels``.

    Args:
        options: ``type``, a name in ``ENCODER_REGISTRY``, and the constructor's arguments. It is not changed.

    Raises:
        UserError: No encoder of that name, or one that breaks the contract.
        ValueError: From the constructor, with ``encoder.`` before the argument that it names.
    """
    arguments = dict(options)
    name = arguments.pop("type", None)
    if name not in ENCODER_REGISTRY:
        raise UserError(
            f"encoder: no type named {name!r}; there are {', '.join(sorted(ENCODER_REGISTRY.keys()))} "
            "(name the module that registers yours under custom_imports)"
        )
    constructor = ENCODER_REGISTRY.get(name)
    try:
        encoder = constructor(**arguments)
    except ValueError as error:
        raise ValueError(located_message("encoder", constructor, error)) from error
    out_channels(encoder)
    return encoder


def out_channels(encoder: nn.Module) -> int:
    """Channels of an encoder's output. Raises UserError if it does not declare them."""
    channels = getattr(encoder, "out_channels", None)
    if not isinstance(channels, int):
        raise UserError(f"encoder {type(encoder).__name__}: it needs an integer attribute out_channels")
    return channels
