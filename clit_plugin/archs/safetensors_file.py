"""Weights as a ``.safetensors`` file: tensors, and what is known of them as strings in the file's header.

Of the header, ``network_g``, ``scale_range``, ``degradation``, ``figures`` and ``iter`` (JSON) and ModelSpec's title,
license, author and description are read. One tensor, ``EMBEDDED``, repeats ``network_g`` for programs that read
nothing but tensors, spandrel among them, and says at which factor they apply the network.
"""

import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from clit_plugin.utils.errors import UserError

SUFFIX = ".safetensors"
EMBEDDED = "clit_plugin.json"
MOST_FACTOR = 64
_LONGEST = 2**16  # characters of a value that is JSON
_TEXTS = {
    "modelspec.title": "name",
    "modelspec.license": "licence",
    "modelspec.author": "author",
    "modelspec.description": "description",
}
_LEAST_BOUND = 256  # below which a number of network_g is not asked about


def read_safetensors(path: str | Path) -> dict[str, Any]:
    """What a file holds, in the layout of BasicSR's checkpoints.

    Args:
        path: The file.

    Returns:
        ``params``, on the CPU, with float16 and bfloat16 made float32; and, where the header has them, ``network_g``,
        ``iter`` and ``about``: ``name``, ``licence``, ``author``, ``description``, ``scale_range``, ``degradation``
        and ``figures``.

    Raises:
        UserError: Not such a file, damaged, or with something else in the header than is expected there.
    """
    try:
        with safe_open(Path(path).expanduser(), framework="pt") as file:
            header = dict(file.metadata() or {})
            tensors = {name: _widened(file.get_tensor(name)) for name in file.keys()}  # noqa: SIM118, no dictionary
    except (SafetensorError, OSError, RuntimeError, ValueError, KeyError, AttributeError, TypeError) as error:
        why = " ".join(str(error).split())
        raise UserError(f"{path}: not a .safetensors file that can be read, or damaged ({why})") from error
    embedded = tensors.pop(EMBEDDED, None)
    checkpoint: dict[str, Any] = {"params": tensors}
    if "network_g" in header:
        checkpoint["network_g"] = _parse(header["network_g"], f"{path}: network_g in its header")
    elif embedded is not None:
        checkpoint["network_g"] = decode_embedded(embedded, f"{path}: ")[0]
    if "network_g" in checkpoint:
        check_network_fits(checkpoint["network_g"], tensors, f"{path}: network_g in its header")
    if "iter" in header:
        checkpoint["iter"] = _parse(header["iter"], f"{path}: iter in its header")
    if about := _about(header, path):
        checkpoint["about"] = about
    return checkpoint


def encode_embedded(network: Mapping[str, Any], factor: int) -> Tensor:
    """``network_g`` and the factor as a tensor of bytes."""
    return torch.tensor(list(json.dumps({"network_g": network, "factor": factor}).encode()), dtype=torch.uint8)


def decode_embedded(encoded: Any, before: str = "") -> tuple[dict[str, Any], int]:
    """``network_g`` and the factor from such a tensor, also from one that a program has made float16 with all others.

    Args:
        encoded: The tensor.
        before: What an error begins with, as ``model.safetensors: ``.

    Raises:
        UserError: It holds something else.
    """
    where = f"{before}the tensor {EMBEDDED}"
    if not isinstance(encoded, Tensor) or encoded.ndim != 1 or len(encoded) > _LONGEST or encoded.is_complex():
        raise UserError(f"{where}: expected at most {_LONGEST} bytes of JSON")
    try:
        text = bytes(int(value) for value in encoded.tolist()).decode()
    except (OverflowError, ValueError) as error:
        raise UserError(f"{where}: expected bytes of JSON") from error
    content = _parse(text, where)
    network, factor = (content.get(key) if isinstance(content, dict) else None for key in ("network_g", "factor"))
    if not isinstance(network, dict) or type(factor) is not int or not 1 <= factor <= MOST_FACTOR:
        raise UserError(f"{where}: expected network_g, a mapping, and factor, 1 to {MOST_FACTOR}; got {_told(content)}")
    return network, factor


def check_network_fits(network: Any, tensors: Mapping[str, Tensor], where: str) -> None:
    """Refuse what could not belong to these tensors before it is built, which may take all the memory there is.

    Raises:
        UserError: No mapping, or a number in it above both how many tensors there are and their longest side.
    """
    if not isinstance(network, dict):
        raise UserError(f"{where}: expected a mapping, got {_told(network)}")
    sides = [side for value in tensors.values() for side in value.shape]
    most = max([_LEAST_BOUND, len(tensors), *sides])
    for name, number in _numbers(network):
        if abs(number) > most:
            raise UserError(f"{where}: {name} is {number:g}, which the tensors beside it do not bear out")


def _about(header: Mapping[str, str], path: str | Path) -> dict[str, Any]:
    """What a user of the weights needs to know, as far as the header tells."""
    about: dict[str, Any] = {}
    for key, name in _TEXTS.items():
        if key in header:
            about[name] = header[key]
    if "figures" in header:
        about["figures"] = _parse(header["figures"], f"{path}: figures in its header")
    if "scale_range" in header:
        where = f"{path}: scale_range in its header"
        about["scale_range"] = check_scale_range(_parse(header["scale_range"], where), where)
    if "degradation" in header:
        about["degradation"] = _parse(header["degradation"], f"{path}: degradation in its header")
        if not isinstance(about["degradation"], (str, dict)):
            raise UserError(f"{path}: degradation in its header: expected a name or a mapping")
    return about


def check_scale_range(given: Any, where: str) -> list[float]:
    """[least, most] as floats.

    Raises:
        UserError: Not two finite numbers, 1 <= least <= most.
    """
    numbers = isinstance(given, list) and len(given) == 2 and all(type(value) in (int, float) for value in given)
    if not numbers or not all(map(math.isfinite, given)) or not 1 <= given[0] <= given[1]:
        raise UserError(f"{where}: expected two numbers, 1 <= least <= most, got {_told(given)}")
    return [float(value) for value in given]


def _parse(text: str, where: str) -> Any:
    """A JSON value of finite numbers."""
    if len(text) > _LONGEST:
        raise UserError(f"{where}: {len(text)} characters, more than it can take ({_LONGEST})")
    try:
        return json.loads(text, parse_constant=_refuse, parse_float=_finite)
    except (ValueError, RecursionError) as error:
        raise UserError(f"{where}: expected JSON ({' '.join(str(error).split())})") from error


def _refuse(constant: str) -> float:
    raise ValueError(f"{constant} is no JSON")


def _finite(digits: str) -> float:
    value = float(digits)
    if not math.isfinite(value):
        raise ValueError(f"{digits} is too large")
    return value


def _numbers(value: Any, name: str = "") -> Iterator[tuple[str, float]]:
    """All numbers in a JSON value, with their names as ``encoder.num_feat``."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _numbers(inner, f"{name}.{key}".lstrip("."))
    elif isinstance(value, list):
        for inner in value:
            yield from _numbers(inner, name)
    elif isinstance(value, (int, float)):
        yield name, value


def _widened(value: Tensor) -> Tensor:
    """In memory of its own, as what the file maps changes with the file."""
    half = value.dtype in (torch.float16, torch.bfloat16)
    return value.to(torch.float32) if half else value.clone()


def _told(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
