"""Checks YAML mappings against dataclasses and signatures, with errors that name the key."""

import dataclasses
import difflib
import inspect
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, ClassVar, Protocol, TypeVar

from clit_plugin.utils.conversion import check_mapping, convert, wrong
from clit_plugin.utils.errors import Problems


class Section(Protocol):
    """A dataclass whose fields are made by ``key``."""

    __dataclass_fields__: ClassVar[dict[str, dataclasses.Field[Any]]]


S = TypeVar("S", bound=Section)


def key(doc: str, default: Any = dataclasses.MISSING, *, expected: str | None = None) -> Any:
    """A field of an option section.

    Args:
        doc: Its description in the option reference.
        default: The default; without one, the key is required.
        expected: Description of the type for errors; by default made from the annotation.
    """
    metadata = {"doc": doc, "expected": expected}
    if isinstance(default, (list, dict)):
        return dataclasses.field(default_factory=lambda: type(default)(default), metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


def parse(section: type[S], options: Any, where: str) -> S:
    """Build an option section from YAML.

    Args:
        section: A dataclass whose fields are made by ``key``.
        options: The section's content in the YAML.
        where: The section's key, as ``datasets.train``, for errors.

    Raises:
        UserError: Not a mapping, or unknown keys, missing keys or values of the wrong type, all of which are listed.
    """
    check_mapping(options, where)
    fields = {field.name: field for field in dataclasses.fields(section)}
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
            expected = fields[name].metadata["expected"]
            values[name] = convert(options[name], hints[name], _join(where, name), expected=expected)
    problems.raise_found()
    return section(**values)


def check_known(options: Mapping[str, Any], known: Iterable[str], where: str) -> None:
    """Raise UserError, with the closest valid key, if ``options`` has keys that are not ``known``."""
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
    """Add a problem for every missing key of ``required``, except for those that are only misspelt."""
    meant = {_nearest(name, known) for name in options if name not in known}
    for name, doc in required.items():
        if name not in options and name not in meant:
            problems.add(f"{_join(where, name)}: missing; {doc}")


def check_arguments(
    target: Callable[..., Any], options: Mapping[str, Any], where: str, *, given: Sequence[str] = ()
) -> dict[str, Any]:
    """Check options against the signature of the class or function that will be called with them.

    Args:
        target: The class or function.
        options: Keyword arguments from YAML, without ``type``.
        where: Their key, for errors.
        given: Parameters that the caller supplies and the YAML must not.

    Returns:
        The options, converted to the annotated types.

    Raises:
        UserError: Unknown or missing arguments, or values of the wrong type, all of which are listed.
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
            # **kwargs accept any name, but one close to a parameter's is a typo.
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
    except (NameError, TypeError):  # other code's annotations may not resolve
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


def _check_no_number_as_text(value: Any, default: Any, where: str) -> None:
    """Check an argument without annotation: a learning rate given as a string would fail late or never."""
    if isinstance(value, (list, tuple)):
        for i, item in enumerate(value):
            _check_no_number_as_text(item, inspect.Parameter.empty, f"{where}[{i}]")
    elif isinstance(value, str) and not isinstance(default, str):
        error = wrong(value, "a number", where)
        if "in YAML" in str(error) or (isinstance(default, (int, float)) and not isinstance(default, bool)):
            raise error


def _join(where: str, name: Any) -> str:
    return f"{where}.{name}" if where else str(name)
