"""Tests of weights files: the network comes from the file, and the run is named after it."""

from collections.abc import Mapping
from typing import Any

from torch import nn

from clit_plugin.archs.weights import load_trained, read_checkpoint
from clit_plugin.config.stored_network import build_stored_network

_METRICS = {"psnr": {"type": "psnr_float"}, "ssim": {"type": "ssim_float"}}
FROM_WEIGHTS = ("name", "network_g", "path")
_OF_TRAINING = ("train", "logger", "find_unused_parameters")


def weights_options(
    name: str, file: str, given: Mapping[str, Any], option_file: str | None, param_key: str | None
) -> tuple[dict[str, Any], nn.Module]:
    """Options for testing one weights file, of which only the network is checked, and the network with the weights.

    Args:
        name: Name of the run.
        file: The weights file.
        given: Content of ``option_file``; its sets, metrics and so on are used, its training options are not.
        option_file: The file that ``given`` is from.
        param_key: ``params`` or ``params_ema``; by default ``params_ema`` if the file has it.

    Raises:
        UserError: A file that cannot be tested.
    """
    checkpoint = read_checkpoint(file)
    stored = build_stored_network(checkpoint, file, given.get("network_g"), option_file)
    param_key = load_trained(stored.net, checkpoint, param_key, file)
    options = {key: value for key, value in given.items() if key not in (*FROM_WEIGHTS, *_OF_TRAINING)}
    sets = options.get("datasets")
    if isinstance(sets, Mapping):
        options["datasets"] = {key: value for key, value in sets.items() if key != "train"}
    val = options.get("val")
    options["val"] = val if isinstance(val, Mapping) and val.get("metrics") else {**(val or {}), "metrics": _METRICS}
    path = {"pretrain_network_g": file, "param_key_g": param_key}
    return {**options, "name": name, "network_g": stored.options, "path": path}, stored.net
