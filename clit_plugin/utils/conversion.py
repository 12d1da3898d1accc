"""Checks and converts a value from YAML according to a type annotation."""

import difflib
import math
import types
import typing
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, TypeVar

from clit_plugin.utils.errors import UserError


def convert(value: Any, hint: Any, where: str, *, expected: str | None = None) -> Any:
    """Return ``value`` as the annotated type; whole floats become integers (YAML's ``!!float 1e6``).

    Args:
        value: The value from YAML.
        hint: The annotation.
        where: Key of the value, for errors.
        expected: Description of a union of types, for errors; by default made from the types.

    Raises:
        UserError: The value does not match.
    """
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if hint is Any or isinstance(hint, (TypeVar, str)):
        return value
    if origin in (typing.Union, types.UnionType):
        # Of float | Tensor, YAML can only mean the float.
        options = [option for option in arguments if _is_plain(option)]
        options = list(arguments) if options in ([], [type(None)]) else options
        for option in options:
            try:
                return convert(value, option, where)
            except UserError:
                continue
        raise wrong(value, expected or " or ".join(_name(option) for option in options), where)
    if origin is Literal:
        return choose(value, arguments, where)
    if hint in (None, type(None)):
        if value is not None:
            raise wrong(value, "null", where)
        return None
    if hint is bool or isinstance(value, bool):
        if hint is not bool or not isinstance(value, bool):
            raise wrong(value, _name(hint), where)
        return value
    if hint is int:
        if not isinstance(value, int) and not (isinstance(value, float) and value.is_integer()):
            raise wrong(value, "a whole number", where)
        return int(value)
    if hint is float:
        if not isinstance(value, (int, float)) or not math.isfinite(value):
            raise wrong(value, "a number", where)
        return float(value)
    if hint is str:
        if not isinstance(value, str):
            raise wrong(value, "a string", where)
        return value
    base = origin or hint
    if base in (list, tuple, Sequence):
        if not isinstance(value, (list, tuple)):
            raise wrong(value, "a list", where)
        if not arguments:
            return value
        fixed = base is tuple and Ellipsis not in arguments
        if fixed and len(value) != len(arguments):
            raise wrong(value, f"a list of {len(arguments)}", where)
        items = arguments if fixed else [arguments[0]] * len(value)
        return [convert(item, kind, f"{where}[{i}]") for i, (item, kind) in enumerate(zip(value, items, strict=True))]
    if base in (dict, Mapping):
        check_mapping(value, where)
        return value
    return value  # an annotation that YAML values cannot be checked against


def check_mapping(options: Any, where: str) -> None:
    """Raise UserError unless ``options`` is a mapping."""
    if not isinstance(options, Mapping):
        raise UserError(f"{where or 'options'}: expected a mapping, got {options!r}")


def choose(value: Any, choices: Iterable[Any], where: str) -> Any:
    """Return ``value`` if it is one of ``choices``; otherwise raise UserError with the closest one."""
    choices = list(choices)
    if value in choices:
        return value
    near = difflib.get_close_matches(str(value), [str(choice) for choice in choices], n=1)
    hint = f"; did you mean {near[0]}?" if near else ""
    raise UserError(f"{where}: expected one of {', '.join(map(str, choices))}, got {value!r}{hint}")


def wrong(value: Any, expected: str, where: str) -> UserError:
    """The error for a value of the wrong type, with a hint if it is a number in quotes."""
    hint = ""
    if isinstance(value, str):
        try:
            float(value)
            hint = " (a string in YAML: write the number without quotes)"
        except ValueError:
            pass
    return UserError(f"{where}: expected {expected}, got {value!r}{hint}")


def _is_plain(hint: Any) -> bool:
    """Whether a YAML value can have this type."""
    plain = (bool, int, float, str, list, tuple, dict, type(None), Literal, Sequence, Mapping)
    return hint is Any or (typing.get_origin(hint) or hint) in plain


def _name(hint: Any) -> str:
    names = {int: "a whole number", float: "a number", str: "a string", bool: "true or false", type(None): "null"}
    if hint in names:
        return names[hint]
    base, arguments = typing.get_origin(hint) or hint, typing.get_args(hint)
    if base is Literal:
        return " or ".join(map(str, arguments))
    if base in (list, tuple, Sequence):
        fixed = base is tuple and arguments and Ellipsis not in arguments
        return f"a list of {len(arguments)}" if fixed else "a list"
    return "a mapping" if base in (dict, Mapping) else getattr(hint, "__name__", str(hint))
