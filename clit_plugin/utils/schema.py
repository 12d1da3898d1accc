"""Checking mappings from YAML against dataclasses and signatures, with errors that name the key."""

import dataclasses
import difflib
import inspect
import math
import types
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal, TypeVar

from clit_plugin.utils.errors import Problems, UserError

T = TypeVar("T")


def key(doc: str, default: Any = dataclasses.MISSING) -> Any:
    """A field of an option section, with its line in the option reference; without ``default`` it is required."""
    if isinstance(default, (list, dict)):
        return dataclasses.field(default_factory=lambda: type(default)(default), metadata={"doc": doc})
    return dataclasses.field(default=default, metadata={"doc": doc})


def parse(section: type[T], options: Any, where: str) -> T:
    """Build an option section from YAML.

    Args:
        section: A dataclass whose fields are made by ``key``.
        options: What the YAML holds there.
        where: Its place, as in ``datasets.train``, for errors.

    Raises:
        UserError: Not a mapping, unknown or missing keys, or values of a wrong type; all of them.
    """
    check_mapping(options, where)
    fields = {field.name: field for field in dataclasses.fields(section)}  # type: ignore[arg-type]
    hints = typing.get_type_hints(section)
    problems = Problems()
    with problems:
        check_known(options, fields, where)
    required = {
        name: field.metadata["doc"]
        for name, field in fields.items()
        if field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
    }
    _check_present(options, required, fields, where, problems)
    values = {}
    for name in (name for name in fields if name in options):
        with problems:
            values[name] = convert(options[name], hints[name], _join(where, name))
    problems.raise_found()
    return section(**values)


def check_mapping(options: Any, where: str) -> None:
    """Raise UserError unless ``options`` is a mapping."""
    if not isinstance(options, Mapping):
        raise UserError(f"{where or 'options'}: expected a mapping of keys, got {options!r}")


def check_known(options: Mapping[str, Any], known: Iterable[str], where: str) -> None:
    """Raise UserError, with the nearest valid key, if ``options`` has keys that are not ``known``."""
    known = sorted(known)
    problems = Problems()
    for name in options:
        if name not in known:
            near = _nearest(name, known)
            hint = f"did you mean {near}?" if near else f"valid keys: {', '.join(known)}"
            problems.add(f"{_join(where, name)}: unknown key; {hint}")
    problems.raise_found()


def _nearest(name: Any, known: Iterable[str]) -> str | None:
    return next(iter(difflib.get_close_matches(str(name), sorted(known), n=1, cutoff=0.5)), None)


def _check_present(
    options: Mapping[str, Any], required: Mapping[str, str], known: Iterable[str], where: str, problems: Problems
) -> None:
    """Add what is missing of ``required``, except for keys that are only misspelt."""
    meant = {_nearest(name, known) for name in options if name not in known}
    for name, doc in required.items():
        if name not in options and name not in meant:
            problems.add(f"{_join(where, name)}: missing; {doc}")


def check_arguments(
    target: Callable[..., Any], options: Mapping[str, Any], where: str, *, given: Sequence[str] = ()
) -> dict[str, Any]:
    """Check options against the signature of what will be called with them.

    Args:
        target: A class or function.
        options: Keyword arguments from YAML, without ``type``.
        where: Their place, for errors.
        given: Parameters that the caller supplies and the YAML must not.

    Returns:
        The options as the annotations require.

    Raises:
        UserError: Unknown or missing arguments, or values that contradict a simple annotation; all of them.
    """
    parameters = {
        name: parameter
        for name, parameter in inspect.signature(target).parameters.items()
        if name not in (*given, "self")
    }
    problems = Problems()
    if any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters.values()):
        named = [name for name, p in parameters.items() if p.kind is not inspect.Parameter.VAR_KEYWORD]
        for name in (str(name) for name in options if name not in named):
            if name in given:
                problems.add(f"{_join(where, name)}: unknown key; valid keys: {', '.join(named)}")
            # Anything may be passed on, but a near miss is a typo.
            elif near := difflib.get_close_matches(name, named, n=1, cutoff=0.8):
                problems.add(f"{_join(where, name)}: unknown key; did you mean {near[0]}?")
        parameters = {name: parameters[name] for name in named}
    else:
        with problems:
            check_known(options, parameters, where)
    required = {
        name: f"{target.__name__} needs it"
        for name, parameter in parameters.items()
        if parameter.default is inspect.Parameter.empty and parameter.kind is not inspect.Parameter.VAR_POSITIONAL
    }
    _check_present(options, required, parameters, where, problems)
    function = target.__init__ if inspect.isclass(target) else target
    try:
        hints = typing.get_type_hints(function)
    except (NameError, TypeError):  # foreign code with annotations that do not resolve
        hints = {}
    converted = dict(options)
    for name in (name for name in parameters if name in options):
        with problems:
            if name in hints:
                converted[name] = convert(options[name], hints[name], _join(where, name))
            else:
                _check_no_number_as_text(options[name], parameters[name].default, _join(where, name))
    problems.raise_found()
    return converted


def convert(value: Any, hint: Any, where: str) -> Any:
    """Return ``value`` as the annotation requires; whole floats become integers (YAML's ``!!float 1e6``).

    Raises:
        UserError: It does not fit.
    """
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if hint is Any or isinstance(hint, (TypeVar, str)):
        return value
    if origin in (typing.Union, types.UnionType):
        # Beside a type that YAML has, as in float | Tensor, a foreign one cannot be meant.
        options = [option for option in arguments if _is_plain(option)]
        options = list(arguments) if options in ([], [type(None)]) else options
        for option in options:
            try:
                return convert(value, option, where)
            except UserError:
                continue
        raise _wrong(value, " or ".join(_name(option) for option in options), where)
    if origin is Literal:
        return choose(value, arguments, where)
    if hint in (None, type(None)):
        if value is not None:
            raise _wrong(value, "nothing", where)
        return None
    if hint is bool or isinstance(value, bool):
        if hint is not bool or not isinstance(value, bool):
            raise _wrong(value, _name(hint), where)
        return value
    if hint is int:
        if not isinstance(value, int) and not (isinstance(value, float) and value.is_integer()):
            raise _wrong(value, "a whole number", where)
        return int(value)
    if hint is float:
        if not isinstance(value, (int, float)) or not math.isfinite(value):
            raise _wrong(value, "a number", where)
        return float(value)
    if hint is str:
        if not isinstance(value, str):
            raise _wrong(value, "a text", where)
        return value
    base = origin or hint
    if base in (list, tuple, Sequence):
        if not isinstance(value, (list, tuple)):
            raise _wrong(value, "a list", where)
        if not arguments:
            return value
        fixed = base is tuple and Ellipsis not in arguments
        if fixed and len(value) != len(arguments):
            raise _wrong(value, f"a list of {len(arguments)}", where)
        items = arguments if fixed else [arguments[0]] * len(value)
        return [convert(item, kind, f"{where}[{i}]") for i, (item, kind) in enumerate(zip(value, items, strict=True))]
    if base in (dict, Mapping):
        check_mapping(value, where)
        return value
    return value  # an annotation of foreign code that options cannot break


def choose(value: Any, choices: Iterable[Any], where: str) -> Any:
    """Return ``value`` if it is one of ``choices``; otherwise raise UserError with the nearest."""
    choices = list(choices)
    if value in choices:
        return value
    near = difflib.get_close_matches(str(value), [str(choice) for choice in choices], n=1)
    hint = f"; did you mean {near[0]}?" if near else ""
    raise UserError(f"{where}: expected one of {', '.join(map(str, choices))}, got {value!r}{hint}")


def _wrong(value: Any, expected: str, where: str) -> UserError:
    hint = ""
    if isinstance(value, str):
        try:
            float(value)
            hint = " (a text in YAML: write the number without quotes)"
        except ValueError:
            pass
    return UserError(f"{where}: expected {expected}, got {value!r}{hint}")


def _check_no_number_as_text(value: Any, default: Any, where: str) -> None:
    """Where there is no annotation: a learning rate of text fails late or never."""
    if isinstance(value, (list, tuple)):
        for i, item in enumerate(value):
            _check_no_number_as_text(item, inspect.Parameter.empty, f"{where}[{i}]")
    elif isinstance(value, str) and not isinstance(default, str):
        error = _wrong(value, "a number", where)
        if "in YAML" in str(error) or (isinstance(default, (int, float)) and not isinstance(default, bool)):
            raise error


def _is_plain(hint: Any) -> bool:
    """Whether YAML can hold such a value."""
    plain = (bool, int, float, str, list, tuple, dict, type(None), Literal, Sequence, Mapping)
    return hint is Any or (typing.get_origin(hint) or hint) in plain


def _name(hint: Any) -> str:
    names = {int: "a whole number", float: "a number", str: "a text", bool: "true or false", type(None): "nothing"}
    if hint in names:
        return names[hint]
    base, arguments = typing.get_origin(hint) or hint, typing.get_args(hint)
    if base is Literal:
        return " or ".join(map(str, arguments))
    if base in (list, tuple, Sequence):
        fixed = base is tuple and arguments and Ellipsis not in arguments
        return f"a list of {len(arguments)}" if fixed else "a list"
    return "a mapping of keys" if base in (dict, Mapping) else getattr(hint, "__name__", str(hint))


def _join(where: str, name: Any) -> str:
    return f"{where}.{name}" if where else str(name)
