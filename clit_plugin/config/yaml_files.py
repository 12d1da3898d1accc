"""Reading option files: plain YAML, inherited through ``_base_`` as mmengine's Config merges."""

import importlib
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from mmengine.config import Config

from clit_plugin.config.shipped_options import locate
from clit_plugin.utils.errors import UserError
from clit_plugin.utils.plain_yaml import read_yaml

_SHOWN = 100  # characters of a wrong override in an error
# Where a set's images come from: these keys are inherited together or not at all.
_SOURCE = ("name", "dataroot_gt", "dataroot_lq", "filename_tmpl", "io_backend")


def read_options(path: str | Path, overrides: Sequence[str] = ()) -> dict[str, Any]:
    """Read an option file with what it inherits, and import the modules it names.

    Args:
        path: A ``.yml`` file, or ``clit://train/edsr_stage1.yml`` for one that comes with the package. ``_base_`` names
            files to inherit from, likewise or relative to it; where a file gives a data set's ``dataroot_gt``, the sets
            that it inherits and does not name are dropped. ``custom_imports`` names modules
            (``{imports: [my_encoder]}``), looked for in the working directory, beside the file, and in ``folders``.
        overrides: ``key.of.section=value``, the value in YAML; they win over the file.

    Returns:
        Nested dicts, lists and scalars, without ``_base_``; the folders of ``custom_imports`` are absolute.

    Raises:
        UserError: No such file, not plain YAML, a key given twice, or an import that fails.
    """
    options = _read(str(path), None, ())
    try:
        options = _merged(options, dict(_split_override(text) for text in overrides), list_items=True)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise UserError(f"{path}: cannot be merged with --set ({' '.join(str(error).split())})") from error
    if (imports := options.pop("custom_imports", None)) is not None:
        options["custom_imports"] = _import_modules(imports, locate(str(path), None).parent)
    return options


def with_overrides(options: Mapping[str, Any], overrides: Sequence[str]) -> dict[str, Any]:
    """Options with values replaced as in ``read_options``. Raises UserError where an override cannot be merged."""
    try:
        return _merged(dict(options), dict(_split_override(text) for text in overrides), list_items=True)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise UserError(f"--set: cannot be merged ({' '.join(str(error).split())})") from error


def _read(name: str, inheritor: Path | None, seen: tuple[Path, ...]) -> dict[str, Any]:
    """One file and what it inherits."""
    path = locate(name, inheritor and inheritor.parent)
    if path.suffix not in (".yml", ".yaml"):
        raise UserError(f"{path}: option files end in .yml")
    if not path.is_file():
        raise UserError(f"{path}: no such option file" + (f" (inherited by {inheritor})" if inheritor else ""))
    if path.resolve() in seen:
        raise UserError(f"{path}: inherits from itself through _base_")
    try:
        text = path.read_text(encoding="utf-8")
        content = read_yaml(text)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: not plain YAML: {' '.join(str(error).split())}") from error
    if not isinstance(content, dict) or not all(isinstance(key, str) for key in content):
        raise UserError(f"{path}: expected a mapping of options by their names")
    if re.search(r"\{\{\s*_base_", text):  # mmengine's files have them
        raise UserError(f"{path}: templates as {{{{_base_.name}}}} are not supported; write the value")
    bases = content.pop("_base_", [])
    bases = [bases] if isinstance(bases, str) else bases
    if not isinstance(bases, list) or not all(isinstance(base, str) for base in bases):
        raise UserError(f"{path}: _base_: expected a file or a list of files, got {bases!r}")
    inherited: dict[str, Any] = {}
    for base in bases:
        options = _read(base, path, (*seen, path.resolve()))
        if twice := sorted(inherited.keys() & options.keys()):
            raise UserError(f"{path}: _base_: {', '.join(twice)} is in more than one of {', '.join(bases)}")
        inherited |= options
    try:
        return _merged(_without_other_images(inherited, content), content)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise UserError(f"{path}: cannot be merged with what it inherits ({' '.join(str(error).split())})") from error


def _merged(base: dict[str, Any], own: Mapping[str, Any], *, list_items: bool = False) -> dict[str, Any]:
    """mmengine's rules: mappings key by key, all else replaced, ``_delete_: true`` drops what would be inherited.

    Args:
        base: What is inherited.
        own: What takes precedence; with dots in keys where ``list_items``.
        list_items: Whether ``key.0`` may name an item of a list.
    """
    # One more level, since mmengine reserves some names at the top.
    config = Config({"options": base})
    if list_items:
        config.merge_from_dict({f"options.{key}": value for key, value in own.items()})
    else:
        config.merge_from_dict({"options": own}, allow_list_keys=False)
    options: dict[str, Any] = _without_delete(config.to_dict()["options"])
    return options


def _without_delete(value: Any) -> Any:
    """Remove ``_delete_`` marks of mappings that inherited nothing."""
    if isinstance(value, dict):
        return {key: _without_delete(item) for key, item in value.items() if key != "_delete_"}
    return [_without_delete(item) for item in value] if isinstance(value, list) else value


def _without_other_images(inherited: dict[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """What is inherited, without the data sets that a file's own images replace."""
    sets, own_sets = inherited.get("datasets"), own.get("datasets")
    if not isinstance(sets, dict) or not isinstance(own_sets, dict):
        return inherited
    given = {key: dataset for key, dataset in own_sets.items() if isinstance(dataset, dict)}
    if any(dataset.get("dataroot_gt") is not None for dataset in given.values()):
        sets = {key: dataset for key, dataset in sets.items() if key in own_sets}
    kept: dict[str, Any] = {}
    for key, dataset in sets.items():
        dropped: tuple[str, ...] = ()
        if isinstance(dataset, dict) and given.get(key, {}).get("dataroot_gt") is not None:
            dropped = (*_SOURCE, "max_images")
        if isinstance(dataset, dict) and given.get(key, {}).get("dataroot_lq") is not None:
            dropped = (*dropped, "degradation")
        kept[key] = {name: value for name, value in dataset.items() if name not in dropped} if dropped else dataset
    return {**inherited, "datasets": kept}


def _split_override(text: str) -> tuple[str, Any]:
    name, separator, value = text.partition("=")
    if not separator or not name:
        raise UserError(f"--set {text}: expected KEY=VALUE, as in train.total_iter=1000")
    try:
        return name.strip(), read_yaml(value)
    except yaml.YAMLError as error:
        shown = text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
        raise UserError(f"--set {shown}: the value is not plain YAML ({' '.join(str(error).split())})") from error


def _import_modules(custom_imports: Any, folder: Path) -> dict[str, Any]:
    """Import them; return ``{imports: [...], folders: [...]}`` with absolute folders."""
    given: dict[str, Any] = custom_imports if isinstance(custom_imports, dict) else {"imports": custom_imports}
    modules: Any = given.get("imports")
    folders: Any = given.get("folders", [])
    modules = [modules] if isinstance(modules, str) else modules
    if not _are_texts(modules) or not _are_texts(folders):
        raise UserError(f"custom_imports: expected {{imports: [module, ...]}}, got {custom_imports!r}")
    places = [str((folder / place).resolve()) for place in [*folders, "."]]
    for place in (*reversed(places), str(Path.cwd())):
        if place not in sys.path:
            sys.path.insert(0, place)
    for name in modules:
        try:
            importlib.import_module(name)
        except Exception as error:  # whatever a user's module raises
            raise UserError(f"custom_imports: {name} cannot be imported ({type(error).__name__}: {error})") from error
    return {"imports": modules, "folders": places}


def _are_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)
