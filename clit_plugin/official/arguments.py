"""Arguments of the original repositories' constructors."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

# Renaming of the original's weights: the beginning of a name, and its replacement (None: not needed). The first rule
# that matches is applied.
Rules = Sequence[tuple[str, str | None]]


class Converted(NamedTuple):
    """``options``: type and arguments of our network or encoder; ``rules``: the names of its weights."""

    options: dict[str, Any]
    rules: Rules


def arguments_of(where: str, spec: Any, defaults: Mapping[str, Any], **needed: Any) -> dict[str, Any]:
    """Arguments of one of the original's constructors, completed with its defaults.

    Raises:
        ValueError: Not a mapping, an argument that the original does not have, or a value other than ``needed``.
    """
    if not isinstance(spec, Mapping):
        raise ValueError(f"{where}: expected a mapping of arguments, got {spec!r}")
    unknown = [name for name in spec if name not in defaults]
    if unknown:
        raise ValueError(f"{where}: expected arguments from {', '.join(defaults)}, got {unknown[0]!r}")
    arguments = {**defaults, **spec}
    for name, value in needed.items():
        if arguments[name] != value:
            raise ValueError(f"{where}: only {name} = {value!r} is supported, got {arguments[name]!r}")
    return arguments


def spec_of(arguments: Mapping[str, Any], key: str) -> tuple[str, Any]:
    """Name and arguments of one of the original's parts."""
    spec = arguments[key]
    if not isinstance(spec, Mapping) or not isinstance(spec.get("name"), str):
        raise ValueError(f"{key}: expected a mapping with name and args, got {spec!r}")
    return spec["name"], spec.get("args", {})
