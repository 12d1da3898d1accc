"""Which data sets are tested, at which scales, and where their images are."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from clit_plugin.data.dataset_options import complete_set
from clit_plugin.metrics.protocol import usual_protocol
from clit_plugin.ops.sizes import scale_label, scale_pair
from clit_plugin.utils.errors import UserError
from clit_plugin.utils.schema import choose

_Set = dict[str, Any]


def family_of(dataset: Mapping[str, Any]) -> str:
    """The set without its scale: ``Set5`` of ``Set5_x2``."""
    name = dataset["name"]
    return name if dataset["scale"] is None else name.removesuffix(f"_x{scale_label(dataset['scale'])}")


def choose_sets(
    datasets: Mapping[str, _Set],
    *,
    names: Sequence[str] = (),
    scales: Sequence[float | list[float]] = (),
    folders: Mapping[str, str] | None = None,
    degradation: str | Mapping[str, Any] | None = None,
    protocol: str | None = None,
) -> dict[str, _Set]:
    """The sets to test, in order.

    Args:
        datasets: ``datasets`` of checked options.
        names: Sets (``Set5_x2``) or families (``Set5``) to keep; by default all, or those of ``folders``.
        scales: Replace the file's scales. At a scale that the file has no set for, LR is made from HR.
        folders: HR images by family: another location for a family of the file, or a new set.
        degradation: Overrides the degradation wherever LR is made from HR; a new set has ``pil`` by default.
        protocol: Overrides the protocol; a new set has ``usual_protocol`` by default.

    Raises:
        UserError: An unknown name, or a set that lacks one of these.
    """
    folders, scales = folders or {}, _different(scales)
    sets = [{**dataset} for dataset in datasets.values()]
    for family, folder in folders.items():
        own = [dataset for dataset in sets if family_of(dataset) == family]
        for dataset in own:
            dataset["dataroot_gt"] = folder
        if not own:
            sets += _new_sets(family, folder, scales, degradation, protocol)
    families = list(dict.fromkeys(map(family_of, sets)))
    wanted = [
        choose(name, [*families, *(dataset["name"] for dataset in sets)], "--sets") for name in names or list(folders)
    ]
    if wanted:
        sets = [dataset for dataset in sets if not {dataset["name"], family_of(dataset)}.isdisjoint(wanted)]
    if scales:
        sets = _at_scales(sets, scales)
    for dataset in sets:
        if degradation and dataset["dataroot_lq"] is None:
            dataset["degradation"] = degradation
        if protocol:
            dataset["protocol"] = protocol
    # BasicSR tests in the order of the keys.
    return {f"test_{i:03}": dataset for i, dataset in enumerate(sets)}


def missing_roots(datasets: Mapping[str, _Set]) -> dict[str, str]:
    """The folder or LMDB that does not exist, by the name of its set."""
    missing = {}
    for dataset in datasets.values():
        for key in ("dataroot_lq", "dataroot_gt"):
            root = dataset[key]
            # An unfinished LMDB is reported when it is read.
            if root is not None and not any(Path(f"{root}{end}").expanduser().exists() for end in ("", ".partial")):
                missing[dataset["name"]] = root
    return missing


def _different(scales: Sequence[float | list[float]]) -> list[float | list[float]]:
    """Each scale once. Raises UserError for two that would get the same set name."""
    by_label: dict[str, float | list[float]] = {}
    for scale in scales:
        known = by_label.setdefault(scale_label(scale), scale)
        if scale_pair(known) != scale_pair(scale):
            raise UserError(
                f"--scales: {known} and {scale} are too close to tell apart; both are x{scale_label(scale)}"
            )
    return list(by_label.values())


def _new_sets(
    family: str,
    folder: str,
    scales: Sequence[float | list[float]],
    degradation: str | Mapping[str, Any] | None,
    protocol: str | None,
) -> list[_Set]:
    """A set that is in no option file, at every scale; scored by its usual protocol unless one is given."""
    if not scales:
        raise UserError(f"--scales: missing; {family} is in no option file, so scales are required, as --scales 2 3")
    new = {"dataroot_gt": folder, "degradation": degradation or "pil", "protocol": protocol or usual_protocol(family)}
    return [
        complete_set({**new, "name": f"{family}_x{scale_label(scale)}", "scale": scale}, phase="test")
        for scale in scales
    ]


def _at_scales(sets: Sequence[_Set], scales: Sequence[float | list[float]]) -> list[_Set]:
    """Every family at every scale."""
    chosen = []
    for family in dict.fromkeys(map(family_of, sets)):
        own = {scale_label(d["scale"]): d for d in sets if family_of(d) == family and d["scale"] is not None}
        from_hr = [d for d in own.values() if d["dataroot_lq"] is None]
        for scale in scales:
            label = scale_label(scale)
            if label not in own and not from_hr:
                raise UserError(f"--scales: {family} has LR files only, and none for x{label}")
            chosen.append(own.get(label) or {**from_hr[0], "name": f"{family}_x{label}", "scale": scale})
    return [{**dataset} for dataset in chosen]
