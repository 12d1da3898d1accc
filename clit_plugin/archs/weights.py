"""Reading checkpoints, and loading their weights: a stage takes over all of the stage before (paper 3.3)."""

import re
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from clit_plugin.archs.safetensors_file import SUFFIX, read_safetensors
from clit_plugin.utils.errors import UserError

_BRANCH = re.compile(r"branches\.(\d+)\.")


def read_weights(path: str | Path, param_key: str | None) -> dict[str, Tensor]:
    """Weights of a checkpoint file in BasicSR's layout, on the CPU; see ``select_weights``.

    Raises:
        UserError: As ``read_checkpoint`` and ``select_weights``.
    """
    return select_weights(read_checkpoint(path), param_key, path)


def select_weights(checkpoint: Mapping[str, Any], param_key: str | None, path: str | Path) -> dict[str, Tensor]:
    """Weights of a checkpoint in BasicSR's layout.

    Args:
        checkpoint: From ``read_checkpoint``.
        param_key: ``params`` or ``params_ema``; without EMA weights, ``params`` stands in. None: the file is the
            state dict itself.
        path: Where the checkpoint came from, for errors.

    Raises:
        UserError: No such weights, something else among them, or non-finite numbers.
    """
    if param_key is not None:
        weights = checkpoint.get(param_key, checkpoint.get("params"))
        if not isinstance(weights, Mapping):
            raise UserError(f"{path}: holds no '{param_key}', only {', '.join(map(str, checkpoint)) or 'nothing'}")
        checkpoint = weights
    if not all(isinstance(name, str) and _is_ordinary(value) for name, value in checkpoint.items()):
        raise UserError(f"{path}: expected only named tensors under '{param_key}', found something else as well")
    check_finite(checkpoint, path)
    return {name.removeprefix("module."): value for name, value in checkpoint.items()}


def _is_ordinary(value: Any) -> bool:
    """Whether it is an ordinary tensor: strided, real, neither quantised nor on the meta device."""
    strided = isinstance(value, Tensor) and value.layout is torch.strided
    return strided and not (value.is_meta or value.is_quantized or value.is_complex())


def check_finite(weights: Mapping[str, Tensor], path: str | Path) -> None:
    """Refuse weights with NaN or infinity, which a diverged training leaves behind.

    Raises:
        UserError: With the number of tensors that have such values, and the name of the first.
    """
    bad = [name for name, value in weights.items() if not value.isfinite().all()]
    if bad:
        count = f"{len(bad)} of {len(weights)} tensors ({bad[0]}{', ...' * (len(bad) > 1)})"
        raise UserError(f"{path}: weights that are not finite, in {count}; the training has diverged")


def choose_param_key(checkpoint: Mapping[str, Any], param_key: str, path: str | Path) -> str:
    """Which weights of a checkpoint to use for testing or upscaling.

    Args:
        checkpoint: From ``read_checkpoint``.
        param_key: The requested key, or ``auto``: the averaged weights (``params_ema``) if there are any, else
            ``params``.
        path: The checkpoint's file, for errors.

    Raises:
        UserError: The checkpoint has no such weights.
    """
    if param_key == "auto":
        param_key = "params_ema" if "params_ema" in checkpoint else "params"
    if param_key not in checkpoint:
        raise UserError(f"{path}: holds no '{param_key}', only {', '.join(map(str, checkpoint)) or 'nothing'}")
    return param_key


def load_trained(net: nn.Module, checkpoint: Mapping[str, Any], param_key: str | None, path: str | Path) -> str:
    """Load a checkpoint's weights into their network, to test or apply it.

    Args:
        net: The network to fill.
        checkpoint: From ``read_checkpoint``.
        param_key: See ``choose_param_key``; None is ``auto``.
        path: The checkpoint's file, for errors.

    Returns:
        The key of the loaded weights.

    Raises:
        UserError: As ``choose_param_key``, ``select_weights`` and ``load_weights``.
    """
    param_key = choose_param_key(checkpoint, param_key or "auto", path)
    load_weights(net, select_weights(checkpoint, param_key, path), path, allow_new_branches=False)
    return param_key


def read_checkpoint(path: str | Path) -> dict[str, Any]:
    """The content of a checkpoint file, .pth or .safetensors, loaded without executing code in it.

    Raises:
        UserError: A missing file, or not a checkpoint.
    """
    file = Path(path).expanduser()
    if not file.is_file():
        raise UserError(f"{path}: no such weights file")
    if file.suffix.lower() == SUFFIX:
        return read_safetensors(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about a pickle protocol that torch itself does not write
            checkpoint = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # damaged bytes make torch raise anything, and it advises to load unsafely
        raise UserError(
            f"{path}: not a checkpoint that can be read safely; it is damaged, of another kind, or holds more than "
            "tensors and plain values"
        ) from error
    if not isinstance(checkpoint, Mapping):
        raise UserError(f"{path}: expected a mapping as BasicSR writes it, got {type(checkpoint).__name__}")
    return dict(checkpoint)


def load_weights(
    net: nn.Module, weights: Mapping[str, Tensor], path: str | Path, *, allow_new_branches: bool
) -> list[str]:
    """Load weights strictly, except that a new branch may be missing.

    Args:
        net: The network to fill.
        weights: A state dict.
        path: Their file, for errors.
        allow_new_branches: Whether one branch after the last one in ``weights`` may keep its initial values.

    Returns:
        Name prefixes of the new branch, as ``branches.1.``; empty without one.

    Raises:
        UserError: Any other missing key, a key that the network does not have, or another shape; the first few are
            named.
    """
    own = net.state_dict()
    known = 1 + max((int(m[1]) for name in weights if (m := _BRANCH.match(name))), default=-1)
    fresh = {name for name in own if (m := _BRANCH.match(name)) and int(m[1]) >= known} if allow_new_branches else set()
    problems = [
        ("missing", sorted(own.keys() - weights.keys() - fresh)),
        ("not in the network", sorted(weights.keys() - own.keys())),
        (
            "of another shape",
            [
                f"{name} {tuple(weights[name].shape)} for {tuple(own[name].shape)}"
                for name in own
                if name in weights and weights[name].shape != own[name].shape
            ],
        ),
    ]
    found = [
        f"{len(names)} {what} ({', '.join(names[:3])}{', ...' if len(names) > 3 else ''})"
        for what, names in problems
        if names
    ]
    if found:
        raise UserError(f"{path}: does not fit network_g: {'; '.join(found)}")
    branches = sorted({f"branches.{m[1]}." for name in fresh if (m := _BRANCH.match(name))})
    if len(branches) > 1:
        raise UserError(
            f"{path}: has {known} branch(es), network_g {known + len(branches)}; a stage adds one branch, so train the "
            "stage before first"
        )
    net.load_state_dict({**own, **weights})
    return branches
