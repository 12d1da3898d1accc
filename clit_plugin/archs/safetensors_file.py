"""Weights as a ``.safetensors`` file: tensors, and metadata as strings in the file's header.

The header's ``network_g``, ``scale_range``, ``degradation``, ``figures`` and ``iter`` (JSON) and ModelSpec's title,
license, author and description are read. One tensor, ``EMBEDDED``, repeats ``network_g`` for programs that read only
tensors, such as spandrel, with the factor at which they apply the network.
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
MAX_EXPORT_FACTOR = 64
_MAX_JSON_LENGTH = 2**16  # characters of a JSON value
_TEXTS = {
    "modelspec.title": "name",
    "modelspec.license": "licence",
    "modelspec.author": "author",
    "modelspec.description": "description",
}
_MIN_BOUND = 256  # network_g may hold numbers up to this one in any case


def read_safetensors(path: str | Path) -> dict[str, Any]:
    """The content of a file, in the layout of BasicSR's checkpoints.

    Args:
        path: The file.

    Returns:
        ``params``, on the CPU, with float16 and bfloat16 made float32; and, where the header has them, ``network_g``,
        ``iter`` and ``about``: ``name``, ``licence``, ``author``, ``description``, ``scale_range``, ``degradation``
        and ``figures``.

    Raises:
        UserError: Not a .safetensors file, damaged, or with unexpected values in the header.
    """
    try:
        with safe_open(Path(path).expanduser(), framework="pt") as file:
            header = dict(file.metadata() or {})
            tensors = {name: _widened(file.get_tensor(name)) for name in file.keys()}  # noqa: SIM118, no dictionary
    except (SafetensorError, OSError, RuntimeError, ValueError, KeyError, AttributeError, TypeError) as error:
        why = " ".join(str(error).split())
        raise UserError(f"{path}: not a readable .safetensors file, or damaged ({why})") from error
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
    """``network_g`` and the factor from such a tensor, even if a program has converted it to float16 with all others.

    Args:
        encoded: The tensor.
        before: Prefix of errors, such as ``model.safetensors: ``.

    Raises:
        UserError: The tensor holds something else.
    """
    where = f"{before}the tensor {EMBEDDED}"
    if not isinstance(encoded, Tensor) or encoded.ndim != 1 or len(encoded) > _MAX_JSON_LENGTH or encoded.is_complex():
        raise UserError(f"{where}: expected at most {_MAX_JSON_LENGTH} bytes of JSON")
    try:
        text = bytes(int(value) for value in encoded.tolist()).decode()
    except (OverflowError, ValueError) as error:
        raise UserError(f"{where}: expected bytes of JSON") from error
    content = _parse(text, where)
    network, factor = (content.get(key) if isinstance(content, dict) else None for key in ("network_g", "factor"))
    if not isinstance(network, dict) or type(factor) is not int or not 1 <= factor <= MAX_EXPORT_FACTOR:
        raise UserError(
            f"{where}: expected network_g, a mapping, and factor, 1 to {MAX_EXPORT_FACTOR}; got {_shortened(content)}"
        )
    return network, factor


def check_network_fits(network: Any, tensors: Mapping[str, Tensor], where: str) -> None:
    """Refuse options that cannot belong to these tensors, before building the network exhausts the memory.

    Raises:
        UserError: Not a mapping, or a number in it exceeds both the number of tensors and their longest side.
    """
    if not isinstance(network, dict):
        raise UserError(f"{where}: expected a mapping, got {_shortened(network)}")
    sides = [side for value in tensors.values() for side in value.shape]
    bound = max([_MIN_BOUND, len(tensors), *sides])
    for name, number in _numbers(network):
        if abs(number) > bound:
            raise UserError(f"{where}: {name} is {number:g}, too large for the tensors of the file")


def _about(header: Mapping[str, str], path: str | Path) -> dict[str, Any]:
    """Metadata of the weights, the parts that the header states."""
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
    """The scales that weights were trained for, as [least, most].

    Args:
        given: A list or tuple, from a checkpoint, a header or the command line.
        where: Its place, for errors.

    Raises:
        UserError: Not two finite numbers, 1 <= least <= most.
    """
    numbers = isinstance(given, (list, tuple)) and len(given) == 2 and all(type(n) in (int, float) for n in given)
    if not numbers or not all(map(math.isfinite, given)) or not 1 <= given[0] <= given[1]:
        raise UserError(f"{where}: expected two numbers, 1 <= least <= most, got {_shortened(given)}")
    return [float(value) for value in given]


def _parse(text: str, where: str) -> Any:
    """A JSON value of finite numbers."""
    if len(text) > _MAX_JSON_LENGTH:
        raise UserError(f"{where}: {len(text)} characters, more than the limit of {_MAX_JSON_LENGTH}")
    try:
        return json.loads(text, parse_constant=_refuse, parse_float=_finite)
    except (ValueError, RecursionError) as error:
        raise UserError(f"{where}: expected JSON ({' '.join(str(error).split())})") from error


def _refuse(constant: str) -> float:
    raise ValueError(f"{constant} is not JSON")


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
    """A copy, as the mapped memory would change with the file; float16 and bfloat16 as float32."""
    half = value.dtype in (torch.float16, torch.bfloat16)
    return value.to(torch.float32) if half else value.clone()


def _shortened(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
