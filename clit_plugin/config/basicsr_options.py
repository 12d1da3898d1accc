"""Translate option files written for BasicSR's own data sets and models.

Keys that have no meaning here are dropped, others are translated, each with a line that says so; contradictions are
refused.
"""

from collections.abc import Mapping
from typing import Any

from basicsr.utils.registry import ARCH_REGISTRY

from clit_plugin.metrics.protocol import PROTOCOLS
from clit_plugin.utils.errors import Problems, UserError

_SHUFFLED = "training always shuffles, validation never does"
_OF_TRAINING = "it is for training only"
_IGNORED = {"dist_params": "torchrun, or --launcher, sets up the processes"}
_READ_AHEAD = "DataLoader workers read ahead, see num_worker_per_gpu"
_IGNORED_IN_SETS = {"use_shuffle": _SHUFFLED, "num_prefetch_queue": _READ_AHEAD}
_IGNORED_IN_TESTS = dict.fromkeys(
    (
        "batch_size_per_gpu",
        "dataset_enlarge_ratio",
        "gt_size",
        "num_worker_per_gpu",
        "persistent_workers",
        "prefetch_mode",
        "use_hflip",
        "use_rot",
    ),
    _OF_TRAINING,
)
_REFUSED_IN_SETS = {
    "meta_info_file": "not read here, where every image of dataroot_gt is used; give a folder of these images alone",
    "mean": "the networks normalise by themselves; remove it",
    "std": "the networks normalise by themselves; remove it",
    "color": "scoring by Y is protocol: benchmark; remove it",
}
_REFUSED_IN_TRAIN = {
    "perceptual_opt": "needs whole images, but training compares sampled colours; remove it",
    "gan_opt": "needs whole images, but training compares sampled colours; remove it",
}


def is_for_this_package(options: Any) -> bool:
    """Whether an option file given to BasicSR is for this package: by its model, network or inheritance."""
    if not isinstance(options, Mapping):
        return False
    if {"_base_", "custom_imports"} & options.keys() or options.get("model_type") == "CumulativeScaleModel":
        return True
    return "network_g" in options and ("model_type" not in options or _is_any_scale(options["network_g"]))


def translate(options: dict[str, Any]) -> list[str]:
    """Translate in place what only BasicSR's data sets and models know; return one line for each change.

    Args:
        options: Content of an option file; it is changed in place.

    Raises:
        UserError: All contradictions.
    """
    notes: list[str] = []
    problems = Problems()
    _drop(options, _IGNORED, "", notes)
    if options.get("model_type") == "SRModel" and _is_any_scale(options.get("network_g")):
        options["model_type"] = "CumulativeScaleModel"
        notes.append("model_type: CumulativeScaleModel, which trains networks of any scale, instead of SRModel")
    if isinstance(options.get("train"), dict):
        _refuse(options["train"], _REFUSED_IN_TRAIN, "train", problems)
    sets = options.get("datasets")
    sets = sets if isinstance(sets, dict) else {}
    for key in [key for key, dataset in sets.items() if dataset is None]:
        del sets[key]  # null leaves out an inherited set
    scale = options.pop("scale", None)
    if scale is not None:
        notes.append(
            f"scale: {scale}, for the sets that have no scale of their own; in training it only converts gt_size to "
            "lq_size, and scales are drawn from scale_ranges"
        )
    metrics = options["val"].get("metrics") if isinstance(options.get("val"), dict) else None
    for key, dataset in sets.items():
        if isinstance(dataset, dict):
            with problems:
                _translate_set(str(key), dataset, scale, metrics, notes)
    problems.raise_found()
    return notes


def _translate_set(name: str, options: dict[str, Any], scale: Any, metrics: Any, notes: list[str]) -> None:
    where = f"datasets.{name}"
    problems = Problems()
    _refuse(options, _REFUSED_IN_SETS, where, problems)
    _drop(options, _IGNORED_IN_SETS, where, notes)
    if options.get("type") == "PairedImageDataset":
        options["type"] = "ArbitraryScalePairedDataset"
        notes.append(f"{where}.type: ArbitraryScalePairedDataset, which reads the same pairs, instead")
        if name == "train" and "use_rot" in options and "use_vflip" not in options:
            options["use_vflip"] = options["use_rot"]
            notes.append(
                f"{where}.use_vflip: {_yaml_bool(options['use_rot'])}, as BasicSR's use_rot includes vertical flips"
            )
    with problems:
        if name == "train":
            if options.get("prefetch_mode") == "cpu":
                _drop(options, {"prefetch_mode": _READ_AHEAD}, where, notes)
            _translate_crop(options, scale, where, notes)
        else:
            _drop(options, _IGNORED_IN_TESTS, where, notes)
            _give_scale(options, scale, where)
            _infer_protocol(options, metrics, where, notes)
    problems.raise_found()


def _translate_crop(options: dict[str, Any], scale: Any, where: str, notes: list[str]) -> None:
    """``gt_size`` is the side of the HR crop at BasicSR's one scale; ``lq_size`` is that of the LR crop."""
    own = options.pop("scale", None)
    if own is not None and scale is not None and own != scale:
        raise UserError(f"{where}.scale: is {own}, but scale at the top level is {scale}; remove one of the two")
    scale = scale if own is None else own
    side = options.pop("gt_size", None)
    if side is None:
        return
    if not isinstance(scale, (int, float)) or not isinstance(side, (int, float)) or scale < 1:
        raise UserError(f"{where}.gt_size: needs a scale to become lq_size; give lq_size, the side of the LR crop")
    if side % scale:
        raise UserError(f"{where}.gt_size: expected a multiple of the scale, {scale}, got {side}; or give lq_size")
    small = int(side // scale)
    if options.setdefault("lq_size", small) != small:
        raise UserError(
            f"{where}.gt_size: {side} at scale {scale} is an lq_size of {small}, but lq_size is {options['lq_size']}; "
            "remove one of the two"
        )
    notes.append(f"{where}.lq_size: {small}, as gt_size is {side} at scale {scale}")


def _give_scale(options: dict[str, Any], scale: Any, where: str) -> None:
    if scale is not None and options.setdefault("scale", scale) != scale:
        raise UserError(
            f"{where}.scale: is {options['scale']}, but scale at the top level is {scale}, which BasicSR gives every "
            "set; remove one of the two"
        )


def _infer_protocol(options: dict[str, Any], metrics: Any, where: str, notes: list[str]) -> None:
    """Set the protocol that the arguments of all metrics correspond to, if there is one."""
    scale = options.get("scale")
    if "protocol" in options or not isinstance(metrics, dict) or not isinstance(scale, (int, float)) or scale < 1:
        return
    given = [
        {key: metric.get(key) for key in ("crop_border", "test_y_channel")}
        for metric in metrics.values()
        if isinstance(metric, dict)
    ]
    for name, protocol in PROTOCOLS.items():
        if given and all(arguments == protocol.metric_options(scale) for arguments in given):
            options["protocol"] = name
            notes.append(f"{where}.protocol: {name}, inferred from crop_border and test_y_channel of val.metrics")


def _drop(options: dict[str, Any], ignored: Mapping[str, str], where: str, notes: list[str]) -> None:
    for key, reason in ignored.items():
        if key in options and options.pop(key) is not None:
            notes.append(f"{where}{'.' * bool(where)}{key}: ignored; {reason}")


def _refuse(options: dict[str, Any], refused: Mapping[str, str], where: str, problems: Problems) -> None:
    for key, reason in refused.items():
        if key in options and options.pop(key) is not None:
            problems.add(f"{where}.{key}: {reason}")


def _is_any_scale(network: Any) -> bool:
    """Whether ``network_g`` names an architecture of arbitrary scale."""
    name = network.get("type") if isinstance(network, Mapping) else None
    return isinstance(name, str) and name in ARCH_REGISTRY and hasattr(ARCH_REGISTRY.get(name), "upscale")


def _yaml_bool(value: Any) -> str:
    return str(value).lower()
