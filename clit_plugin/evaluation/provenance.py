"""What determines the numbers of a test, collected before it starts: the settings of every stored result."""

import copy
import hashlib
import json
import platform
from collections.abc import Mapping
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

from clit_plugin.data.dataset_options import parse_val_set
from clit_plugin.data.image_source import ImageSource
from clit_plugin.data.validation_set import ValidationSet
from clit_plugin.evaluation.dataset_selection import family_of
from clit_plugin.evaluation.multiply_adds import count_multiply_adds, count_parameters
from clit_plugin.evaluation.results import EvaluationSettings, WeightsFile
from clit_plugin.utils.console import bar

# To be raised when a change of this package changes numbers: stored results are then recomputed.
EVALUATION_VERSION = 1
_PACKAGES = ("clit_plugin", "basicsr", "torch", "torchvision", "numpy", "pillow", "opencv-python")


def describe_evaluation(options: Mapping[str, Any]) -> dict[str, EvaluationSettings]:
    """The settings of each set's result, by the set's name.

    ``fingerprint`` covers everything that determines a number: the bytes of images and weights, the network, the scale,
    the degradation, protocol and metrics. Paths, versions and the network's cost are recorded but not part of it.

    Args:
        options: Checked options of a test, with their defaults and ``path.param_key_g`` settled.

    Raises:
        UserError: An image file that cannot be read.
    """
    weights = _weights(options["path"])
    digests: dict[tuple[str, tuple[str, ...]], str] = {}
    described = {}
    parameters = count_parameters(options["network_g"])

    @cache
    def cost(y: float, x: float) -> float | None:
        return count_multiply_adds(options["network_g"], (y, x))

    for dataset in options["datasets"].values():
        set_options = parse_val_set({**dataset, "phase": "test", "cache": False}, f"datasets.{dataset['name']}")
        images = ValidationSet(set_options)
        pairs, protocol, scales = images.pairs, images.protocol, set_options.scales
        parts = [_digest(pairs.gt, pairs.names, digests)]
        if pairs.lq is not None:
            parts.append(_digest(pairs.lq, pairs.lq_names, digests))
        degradation = set_options.degradation or "files"
        data_sha256 = hashlib.sha256("".join(parts).encode()).hexdigest()
        decisive = {
            "evaluation": EVALUATION_VERSION,
            "scale": None if scales is None else list(scales),
            "degradation": degradation,
            "protocol": {"name": protocol.name, "channel": protocol.channel, "extra_shave": protocol.extra_shave},
            "data_sha256": data_sha256,
            "weights_sha256": weights and weights.sha256,
            "param_key": weights and weights.param_key,
            "network_g": options["network_g"],
            "metrics": options["val"]["metrics"],
            "self_ensemble": options["val"]["self_ensemble"],
        }
        recorded = {
            "network_g": options["network_g"],
            "dataset": dataset,
            "metrics": options["val"]["metrics"],
            "save_img": options["val"]["save_img"],
            "self_ensemble": options["val"]["self_ensemble"],
        }
        described[dataset["name"]] = EvaluationSettings(
            fingerprint=hashlib.sha256(json.dumps(decisive, sort_keys=True).encode()).hexdigest()[:12],
            name=options["name"],
            set=dataset["name"],
            family=family_of(dataset["name"], dataset["scale"]),
            scale=scales,
            degradation=degradation,
            protocol=protocol,
            data_sha256=data_sha256,
            weights=weights,
            options=copy.deepcopy(recorded),
            versions=versions(),
            parameters=parameters,
            multiply_adds=None if scales is None else cost(scales[0], scales[1]),
            device=torch.cuda.get_device_name() if options["num_gpu"] else "CPU",
        )
    return described


def versions() -> dict[str, str]:
    """Versions of the packages that compute the numbers."""
    found = {"python": platform.python_version()}
    for name in _PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:  # run from a checkout that is not installed
            found[name] = "not installed"
    return found


def _weights(path: Mapping[str, Any]) -> WeightsFile | None:
    file = path.get("pretrain_network_g")
    if not file:
        return None
    with Path(file).expanduser().open("rb") as content:
        digest = hashlib.file_digest(content, "sha256") if hasattr(hashlib, "file_digest") else _file_digest(content)
    return WeightsFile(path=str(file), sha256=digest.hexdigest(), param_key=path["param_key_g"])


def _file_digest(content: Any) -> Any:
    digest = hashlib.sha256()  # Python 3.10
    while block := content.read(2**20):
        digest.update(block)
    return digest


def _digest(source: ImageSource, names: list[str], known: dict[tuple[str, tuple[str, ...]], str]) -> str:
    """SHA-256 of images and their names; each source is read once, whatever its scales."""
    key = (str(source.root), tuple(names))
    if key not in known:
        digest = hashlib.sha256()
        for name in bar(names, desc=f"Hashing {source.root.name}", unit="image", leave=False, delay=1):
            digest.update(f"{name}\0".encode() + hashlib.sha256(source.content(name) or b"").digest())
        known[key] = digest.hexdigest()
    return known[key]
