"""Tests of weights files: the network is the one that the file holds, the run is called as the file is."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from clit_plugin.errors import UserError
from clit_plugin.inference.weights import stored_network
from clit_plugin.models.warm_start import choose_param_key, read_checkpoint

_METRICS = {"psnr": {"type": "psnr_float"}, "ssim": {"type": "ssim_float"}}
_FROM_WEIGHTS = ("name", "network_g", "path")
_OF_TRAINING = ("train", "logger", "find_unused_parameters")


def name_weights(texts: Sequence[str]) -> dict[str, str]:
    """Files by the names of their runs, from ``FILE`` or ``NAME=FILE``.

    ``experiments/lit/models/net_g_latest.pth`` is called lit, ``.../net_g_5000.pth`` lit_5000, any other file as it is.

    Raises:
        UserError: Two of one name, or a name that is no folder's.
    """
    files: dict[str, str] = {}
    for text in texts:
        name, equals, file = text.partition("=")
        if not equals or Path(text).expanduser().is_file():
            name, file = _name_of(Path(text)), text
        if not re.fullmatch(r"\w[\w.+-]*", name):
            raise UserError(f"--weights {text}: expected FILE or NAME=FILE, and a name of letters, digits and _ . + -")
        if name in files:
            raise UserError(f"--weights: {files[name]} and {file} would both be called {name}; give one as NAME=FILE")
        files[name] = file
    return files


def _name_of(file: Path) -> str:
    match = re.fullmatch(r"net_g_(.+)", file.stem)
    if match and file.parent.name == "models" and file.parent.parent.name:
        run = file.parent.parent.name
        return run if match[1] == "latest" else f"{run}_{match[1]}"
    return re.sub(r"[^\w.+-]", "_", file.stem)


def weights_options(
    name: str, file: str, given: Mapping[str, Any], option_file: str | None, param_key: str | None
) -> dict[str, Any]:
    """Options of a test of one weights file, not checked but for the network.

    Args:
        name: Of the run.
        file: The weights.
        given: Content of ``option_file``, of which sets, metrics and the like are taken; what it says of training is
            not.
        option_file: Where ``given`` is from.
        param_key: ``params`` or ``params_ema``; by default the latter where there is one.

    Raises:
        UserError: A file that cannot be tested.
    """
    checkpoint = read_checkpoint(file)
    network, _ = stored_network(checkpoint, file, given.get("network_g"), option_file)
    options = {key: value for key, value in given.items() if key not in (*_FROM_WEIGHTS, *_OF_TRAINING)}
    sets = options.get("datasets")
    if isinstance(sets, Mapping):
        options["datasets"] = {key: value for key, value in sets.items() if key != "train"}
    val = options.get("val")
    options["val"] = val if isinstance(val, Mapping) and val.get("metrics") else {**(val or {}), "metrics": _METRICS}
    path = {"pretrain_network_g": file, "param_key_g": choose_param_key(checkpoint, param_key or "auto", file)}
    return {**options, "name": name, "network_g": network, "path": path}


def check_overrides(texts: Sequence[str]) -> None:
    """Raise UserError for a ``--set`` of what the weights file decides."""
    for text in texts:
        section = re.split(r"[.=]", text.strip())[0]
        if section in _FROM_WEIGHTS:
            raise UserError(f"--set {text}: beside --weights the file decides {section}; give NAME=FILE or --param-key")
