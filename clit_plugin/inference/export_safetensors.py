"""Exporting a network's weights as one ``.safetensors`` file with full metadata."""

import hashlib
import json
from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Any

import torch
from safetensors.torch import save
from torch import Tensor, nn

from clit_plugin.archs.safetensors_file import EMBEDDED, encode_embedded
from clit_plugin.utils.errors import UserError

MODEL_SPEC = "1.0.1"  # https://github.com/Stability-AI/ModelSpec
# The normalisation inside all networks of this package, stated for other programs.
NORMALISATION = {"channels": "RGB", "input_range": [0, 1], "mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5]}


def describe(
    net: nn.Module, network: Mapping[str, Any], *, param_key: str, about: Mapping[str, Any], step: Any = None
) -> dict[str, str]:
    """The header's strings: the fields of ModelSpec, and what is needed to build and apply the network.

    Args:
        net: The network.
        network: Its options, ``network_g``.
        param_key: Which weights of the checkpoint were exported, ``params`` or ``params_ema``.
        about: ``name`` and, if known, ``scale_range``, ``degradation``, ``licence``, ``author``, ``description`` and
            ``figures``, the scores of the weights.
        step: Number of training steps; ignored if it is not an integer.
    """
    encoder = network.get("encoder", {}).get("type")
    parameters = sum(value.numel() for value in net.parameters())
    own = f"Arbitrary-scale super-resolution: {network['type']}, encoder {encoder}, {parameters:,} parameters"
    header = {
        "modelspec.sai_model_spec": MODEL_SPEC,
        "modelspec.architecture": network["type"],
        "modelspec.implementation": "clit_plugin",
        "modelspec.title": about["name"],
        "modelspec.description": about.get("description", own),
        "modelspec.author": about.get("author"),
        "modelspec.date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "modelspec.license": about.get("licence"),
        "network_g": json.dumps(network),
        "normalisation": json.dumps(NORMALISATION),
        "param_key": param_key,
        "iter": str(step) if type(step) is int else None,
    }
    header |= {key: json.dumps(about[key]) for key in ("scale_range", "degradation", "figures") if key in about}
    return {name: value for name, value in header.items() if value is not None}


def pack_safetensors(
    weights: Mapping[str, Tensor],
    network: Mapping[str, Any],
    header: Mapping[str, str],
    *,
    half: bool = False,
    factor: int = 4,
) -> bytes:
    """The content of the file.

    Args:
        weights: A state dict.
        network: Its options, also stored as a tensor for programs that do not read the header.
        header: From ``describe``.
        half: Whether to store floating-point tensors as float16.
        factor: The factor for programs that support fixed factors only, such as spandrel.

    Raises:
        UserError: A value outside float16's range.
    """
    tensors = {}
    for name, value in weights.items():
        # Cloned, because the format refuses tensors that share memory.
        tensors[name] = value.detach().cpu().clone(memory_format=torch.contiguous_format)
        if half and value.is_floating_point():
            tensors[name] = tensors[name].half()
            if not tensors[name].isfinite().all():
                raise UserError(f"--half: {name} has values outside float16's range; omit --half")
    tensors[EMBEDDED] = encode_embedded(network, factor)
    body = save(tensors, {"format": "pt"})
    length = int.from_bytes(body[:8], "little")
    # ModelSpec hashes everything after the header.
    digest = hashlib.sha256(memoryview(body)[8 + length :]).hexdigest()
    return save(tensors, {**header, "format": "pt", "modelspec.hash_sha256": f"0x{digest}"})
