"""Which data sets are tested, at which scales, and where their images are."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from clit_plugin.data.dataset_options import ValSetOptions, parse_val_set
from clit_plugin.metrics.protocol import ProtocolName, usual_protocol
from clit_plugin.ops.sizes import scale_label, scale_pair
from clit_plugin.utils.conversion import choose
from clit_plugin.utils.errors import UserError

Scale = float | tuple[float, float]
Degradation = Literal["pil", "matlab"] | Mapping[str, Any]


def family_of(name: str, scale: Scale | None) -> str:
    """A set's name without its scale: ``Set5`` of ``Set5_x2``."""
    return name if scale is None else name.removesuffix(f"_x{scale_label(scale)}")


def _family(dataset: ValSetOptions) -> str:
    return family_of(dataset.name, dataset.scale)


def choose_sets(
    datasets: Mapping[str, ValSetOptions],
    *,
    names: Sequence[str] = (),
    scales: Sequence[Scale] = (),
    folders: Mapping[str, str] | None = None,
    degradation: Degradation | None = None,
    protocol: ProtocolName | None = None,
) -> dict[str, ValSetOptions]:
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
    sets = [
        replace(dataset, dataroot_gt=folders.get(_family(dataset), dataset.dataroot_gt))
        for dataset in datasets.values()
    ]
    known = set(map(_family, sets))
    for family, folder in folders.items():
        if family not in known:
            sets += _new_sets(family, folder, scales, degradation, protocol)
    families = list(dict.fromkeys(map(_family, sets)))
    chosen = [
        choose(name, [*families, *(dataset.name for dataset in sets)], "--sets") for name in names or list(folders)
    ]
    if chosen:
        sets = [dataset for dataset in sets if not {dataset.name, _family(dataset)}.isdisjoint(chosen)]
    if scales:
        sets = _at_scales(sets, scales)
    if degradation:
        sets = [replace(each, degradation=degradation) if each.dataroot_lq is None else each for each in sets]
    if protocol:
        sets = [replace(each, protocol=protocol) for each in sets]
    # BasicSR tests in the order of the keys.
    return {f"test_{i:03}": dataset for i, dataset in enumerate(sets)}


def missing_roots(datasets: Mapping[str, ValSetOptions]) -> dict[str, str]:
    """The folder or LMDB that does not exist, by the name of its set."""
    missing = {}
    for dataset in datasets.values():
        for root in (dataset.dataroot_lq, dataset.dataroot_gt):
            # An unfinished LMDB is reported when it is read.
            if root is not None and not any(Path(f"{root}{end}").expanduser().exists() for end in ("", ".partial")):
                missing[dataset.name] = root
    return missing


def _different(scales: Sequence[Scale]) -> list[Scale]:
    """Each scale once. Raises UserError for two that would get the same set name."""
    by_label: dict[str, Scale] = {}
    for scale in scales:
        known = by_label.setdefault(scale_label(scale), scale)
        if scale_pair(known) != scale_pair(scale):
            raise UserError(
                f"--scales: {_typed(known)} and {_typed(scale)} are too close to distinguish; both are "
                f"x{scale_label(scale)}"
            )
    return list(by_label.values())


def _typed(scale: Scale) -> str:
    """A scale with all its digits, as on the command line: width x height where the axes differ."""
    return "x".join(map(str, scale[::-1])) if isinstance(scale, tuple) else str(scale)


def _new_sets(
    family: str,
    folder: str,
    scales: Sequence[Scale],
    degradation: Degradation | None,
    protocol: ProtocolName | None,
) -> list[ValSetOptions]:
    """A set that is in no option file, at every scale; scored by its usual protocol unless one is given."""
    if not scales:
        raise UserError(f"--scales: missing; {family} is in no option file and needs them, as in --scales 2 3")
    new = {"dataroot_gt": folder, "degradation": degradation or "pil", "protocol": protocol or usual_protocol(family)}
    return [
        parse_val_set({**new, "name": f"{family}_x{scale_label(scale)}", "scale": scale, "phase": "test"}, "--folder")
        for scale in scales
    ]


def _at_scales(sets: Sequence[ValSetOptions], scales: Sequence[Scale]) -> list[ValSetOptions]:
    """Every family at every scale."""
    chosen = []
    for family in dict.fromkeys(map(_family, sets)):
        own = {scale_label(d.scale): d for d in sets if _family(d) == family and d.scale is not None}
        from_hr = [d for d in own.values() if d.dataroot_lq is None]
        for scale in scales:
            label = scale_label(scale)
            if label not in own and not from_hr:
                raise UserError(f"--scales: {family} has only LR files, none of them for x{label}")
            chosen.append(own.get(label) or replace(from_hr[0], name=f"{family}_x{label}", scale=scale))
    return chosen
