"""Checkpoints of the original CLIT, LIIF (with Meta-SR) and LTE repositories, converted to our networks.

Such a file holds ``{'model': {'name', 'args', 'sd'}, ...}``: the registered name, the constructor's arguments as in
the original's YAML, and the weights.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from clit_plugin.archs.build import build_network
from clit_plugin.config.components import check_network
from clit_plugin.official.arguments import Rules
from clit_plugin.official.networks import CONVERTERS
from clit_plugin.utils.errors import UserError


def load_official(path: str | Path) -> nn.Module:
    """Build the network of an original checkpoint and load its weights.

    Args:
        path: The file. Only tensors and plain containers are unpickled from it.

    Returns:
        Our network, in float32 on the CPU, in eval mode.

    Raises:
        UserError: A missing file, another kind of checkpoint, or a network without a counterpart here.
    """
    return convert_official(path)[1]


def convert_official(path: str | Path) -> tuple[dict[str, Any], nn.Module]:
    """``network_g`` options of an original checkpoint, and the network; see ``load_official``."""
    name, arguments, weights = _read(Path(path))
    if name not in CONVERTERS:
        raise UserError(f"{path}: holds a network named {name!r}; supported are {', '.join(CONVERTERS)}")
    try:
        options, rules = CONVERTERS[name](arguments)
        net = build_network(check_network(options))
        weights = _rename(weights, rules)
        _check_weights(net.state_dict(), weights)
        net.load_state_dict(weights)
    except (ArithmeticError, AttributeError, LookupError, MemoryError, TypeError, ValueError, UserError) as error:
        raise UserError(f"{path}: cannot be converted: {' '.join(str(error).split())}") from error
    return options, net.eval()


def _read(path: Path) -> tuple[str, Mapping[str, Any], dict[str, Tensor]]:
    """Name, arguments and weights, these in float32."""
    expected = "expected a checkpoint of the original CLIT, LIIF, LTE or Meta-SR code"
    if not path.is_file():
        raise UserError(f"{path}: no such file; {expected}")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged file makes the unpickler raise anything
        raise UserError(f"{path}: {expected}, but torch.load fails with weights_only=True") from error
    model = content.get("model") if isinstance(content, Mapping) else None
    model = model if isinstance(model, Mapping) else {}
    name, arguments, weights = (model.get(key) for key in ("name", "args", "sd"))
    if not isinstance(name, str) or not isinstance(arguments, Mapping) or not isinstance(weights, Mapping):
        raise UserError(f"{path}: {expected}, {{'model': {{'name', 'args', 'sd'}}}}")
    if not all(isinstance(key, str) and isinstance(value, Tensor) for key, value in weights.items()):
        raise UserError(f"{path}: {expected}; under model.sd there is more than named tensors")
    return name, arguments, {k: v.float() if v.is_floating_point() else v for k, v in weights.items()}


def _rename(weights: Mapping[str, Tensor], rules: Rules) -> dict[str, Tensor]:
    """Weights under our names. A name that no rule matches is kept, and refused when it is loaded."""
    renamed = {}
    for name, value in weights.items():
        for pattern, replacement in rules:
            match = re.match(pattern, name)
            if match is not None:
                if replacement is not None:
                    renamed[match.expand(replacement) + name[match.end() :]] = value
                break
        else:
            renamed[name] = value
    return renamed


def _check_weights(expected: Mapping[str, Tensor], weights: Mapping[str, Tensor]) -> None:
    complaints = {
        "missing": [name for name in expected if name not in weights],
        "unexpected": [name for name in weights if name not in expected],
        "of another shape": [n for n in expected if n in weights and expected[n].shape != weights[n].shape],
        "not of real, finite numbers": [name for name, value in weights.items() if not _finite(value)],
    }
    texts = [f"{what}: {_first_few(names)}" for what, names in complaints.items() if names]
    if texts:
        raise ValueError(f"the weights do not fit the arguments; {'; '.join(texts)}")


def _finite(value: Tensor) -> bool:
    return not (value.is_meta or value.is_complex() or value.is_quantized) and bool(value.isfinite().all())


def _first_few(names: Sequence[str]) -> str:
    rest = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + rest
