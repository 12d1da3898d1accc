"""Plain YAML: nothing is executed, duplicate keys are errors, and 1e-4 is a number."""

import re
from typing import Any

import yaml

_MAX_CHARACTERS, _MAX_VALUES, _MAX_LEVELS = 2**20, 20_000, 50
_TOO_DEEP = f"nested more than {_MAX_LEVELS} levels deep"
_IN_PROGRESS = (0, 0)
# YAML 1.2 (10.3.2) makes the decimal point and the exponent's sign optional; PyYAML follows 1.1, which requires both.
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)[eE][-+]?[0-9]+$")


def read_yaml(text: str) -> Any:
    """Parse a text.

    Raises:
        yaml.YAMLError: Not YAML, a tag that is not plain, a duplicate key, an invalid value, NUL or half a surrogate
            pair; more than 1 MB, 20,000 values with aliases expanded, or 50 levels.
    """
    if len(text) > _MAX_CHARACTERS:
        raise yaml.YAMLError(f"more than {_MAX_CHARACTERS} characters")
    loader = _Loader(text)
    try:
        node = loader.get_single_node()
        if node is None:
            return None
        _extent(node, {})
        return loader.construct_document(node)
    except RecursionError:
        raise yaml.YAMLError(_TOO_DEEP) from None
    except (
        ArithmeticError,
        AttributeError,
        LookupError,
        TypeError,
        ValueError,
    ) as error:  # such as 2001-02-31
        raise yaml.YAMLError(f"a value that cannot be read ({error})") from error
    finally:
        loader.dispose()


def _extent(node: yaml.Node, known: dict[int, tuple[int, int]]) -> tuple[int, int]:
    """Number of values, aliases expanded, and of levels; a few lines of aliases can expand to millions of values."""
    if id(node) not in known:
        known[id(node)] = _IN_PROGRESS
        children: list[yaml.Node] = node.value if isinstance(node, yaml.SequenceNode) else []
        if isinstance(node, yaml.MappingNode):
            children = [child for pair in node.value for child in pair]
        extents = [_extent(child, known) for child in children]
        count, levels = 1 + sum(count for count, _ in extents), 1 + max((levels for _, levels in extents), default=0)
        if count > _MAX_VALUES:
            raise yaml.YAMLError(f"more than {_MAX_VALUES} values, with aliases expanded")
        if levels > _MAX_LEVELS:
            raise yaml.YAMLError(_TOO_DEEP)
        known[id(node)] = count, levels
    if known[id(node)] == _IN_PROGRESS:
        raise yaml.YAMLError("an alias inside its own anchor")
    return known[id(node)]


def write_yaml(value: Any) -> str:
    """The YAML of a value, for ``read_yaml``; the order of keys is kept."""
    return yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=110)


class _Loader(yaml.SafeLoader):
    def construct_mapping(self, node: Any, deep: bool = False) -> Any:
        """Refuse duplicate keys, of which PyYAML silently keeps the last."""
        keys = [key for key, _ in node.value if key.tag != "tag:yaml.org,2002:merge"]
        names = [self.construct_object(key, deep=True) for key in keys]
        for name in names:
            if names.count(name) > 1:
                raise yaml.constructor.ConstructorError(None, None, f"key {name!r} is given twice", node.start_mark)
        return super().construct_mapping(node, deep)

    def construct_scalar(self, node: Any) -> Any:
        """Refuse lone surrogates, which cannot be encoded, and NUL, which no file name can contain."""
        if found := re.search("[\0\ud800-\udfff]", node.value if isinstance(node.value, str) else ""):
            problem = "NUL in a string" if found[0] == "\0" else "half of a surrogate pair"
            raise yaml.constructor.ConstructorError(None, None, problem, node.start_mark)
        return super().construct_scalar(node)


class _Dumper(yaml.SafeDumper):
    def ignore_aliases(self, data: Any) -> bool:
        return True


for kind in (_Loader, _Dumper):  # so that the dumper quotes strings that look like numbers
    kind.add_implicit_resolver("tag:yaml.org,2002:float", _FLOAT, list("-+.0123456789"))
