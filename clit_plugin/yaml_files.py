"""Reading option files: plain YAML, inherited through ``_base_`` by mmengine's Config."""

import importlib
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from mmengine.config import Config

from clit_plugin.errors import UserError


def read_options(path: str | Path, overrides: Sequence[str] = ()) -> dict[str, Any]:
    """Read an option file with what it inherits, and import the modules it names.

    Args:
        path: A ``.yml`` file. ``_base_`` names files to inherit from, relative to it; ``custom_imports`` names modules
            (``{imports: [my_encoder]}``), looked for in the working directory and beside the file as well.
        overrides: ``key.of.section=value``, the value in YAML; they win over the file.

    Returns:
        Plain nested dicts, lists and scalars, without ``_base_`` and ``custom_imports``.

    Raises:
        UserError: No such file, not plain YAML, a key given twice, or an import that fails.
    """
    path = Path(path)
    _check_plain(path, ())
    try:
        # Without mmengine's templates: what is read must be the text that was checked.
        config = Config.fromfile(
            str(path.absolute()),
            import_custom_modules=False,
            use_predefined_variables=False,
            use_environment_variables=False,
        )
        config.merge_from_dict(dict(_split_override(text) for text in overrides))
    except (AttributeError, KeyError, TypeError, ValueError, yaml.YAMLError) as error:
        raise UserError(
            f"{path}: cannot be merged with what it inherits or with --set ({' '.join(str(error).split())})"
        ) from error
    options: dict[str, Any] = config.to_dict()
    _import_modules(options.pop("custom_imports", None), path)
    return options


def _check_plain(path: Path, seen: tuple[Path, ...]) -> None:
    """mmengine reads YAML with a loader that can run code, so every file must first pass the safe one."""
    if path.suffix not in (".yml", ".yaml"):
        raise UserError(f"{path}: option files end in .yml")
    if not path.is_file():
        raise UserError(f"{path}: no such option file" + (f" (inherited by {seen[-1]})" if seen else ""))
    if path.resolve() in seen:
        raise UserError(f"{path}: inherits from itself through _base_")
    try:
        text = path.read_text(encoding="utf-8")
        content = yaml.load(text, Loader=_StrictLoader)  # noqa: S506, a SafeLoader
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: not plain YAML: {' '.join(str(error).split())}") from error
    if not isinstance(content, dict) or not all(isinstance(name, str) for name in content):
        raise UserError(f"{path}: expected a mapping of options by their names")
    if re.search(r"\{\{\s*_base_", text):  # mmengine would replace it before it reads the YAML
        raise UserError(f"{path}: templates as {{{{_base_.name}}}} are not supported; write the value")
    bases = content.get("_base_", [])
    bases = [bases] if isinstance(bases, str) else bases
    if not isinstance(bases, list) or not all(isinstance(base, str) for base in bases):
        raise UserError(f"{path}: _base_: expected a file or a list of files, got {bases!r}")
    for base in bases:
        _check_plain(path.parent / base, (*seen, path.resolve()))


class _StrictLoader(yaml.SafeLoader):
    """Safe YAML in which no key may be given twice (PyYAML silently keeps the last)."""

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:
        keys = [key for key, _ in node.value if key.tag != "tag:yaml.org,2002:merge"]
        names = [self.construct_object(key, deep=True) for key in keys]
        for name in names:
            if names.count(name) > 1:
                raise yaml.constructor.ConstructorError(None, None, f"key {name!r} is given twice", node.start_mark)
        return super().construct_mapping(node, deep)


def _split_override(text: str) -> tuple[str, Any]:
    name, separator, value = text.partition("=")
    if not separator or not name:
        raise UserError(f"--set {text}: expected KEY=VALUE, as in train.total_iter=1000")
    try:
        return name.strip(), yaml.safe_load(value)
    except yaml.YAMLError as error:
        raise UserError(f"--set {text}: the value is not plain YAML ({' '.join(str(error).split())})") from error


def _import_modules(custom_imports: Any, path: Path) -> None:
    if custom_imports is None:
        return
    modules = custom_imports.get("imports") if isinstance(custom_imports, dict) else custom_imports
    modules = [modules] if isinstance(modules, str) else modules
    if not isinstance(modules, list) or not all(isinstance(name, str) for name in modules):
        raise UserError(f"custom_imports: expected {{imports: [module, ...]}}, got {custom_imports!r}")
    for folder in (str(path.resolve().parent), str(Path.cwd())):
        if folder not in sys.path:
            sys.path.insert(0, folder)
    for name in modules:
        try:
            importlib.import_module(name)
        except Exception as error:  # whatever a user's module raises
            raise UserError(f"custom_imports: {name} cannot be imported ({type(error).__name__}: {error})") from error
