"""Plain YAML, in which nothing is executed, no key comes twice and 1e-4 is a number."""

import re
from typing import Any

import yaml

# YAML 1.2 (10.3.2) needs neither a point nor a sign for an exponent; PyYAML follows 1.1, which needs both.
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)[eE][-+]?[0-9]+$")


def read_yaml(text: str) -> Any:
    """What a text holds.

    Raises:
        yaml.YAMLError: Not YAML, a tag that is not plain, a key given twice, or half of a surrogate pair.
    """
    return yaml.load(text, Loader=_Loader)  # noqa: S506, a SafeLoader


def write_yaml(value: Any) -> str:
    """The text that ``read_yaml`` reads as the value; keys in their order."""
    return yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=110)


class _Loader(yaml.SafeLoader):
    def construct_mapping(self, node: Any, deep: bool = False) -> Any:
        """PyYAML silently keeps the last of two keys."""
        keys = [key for key, _ in node.value if key.tag != "tag:yaml.org,2002:merge"]
        names = [self.construct_object(key, deep=True) for key in keys]
        for name in names:
            if names.count(name) > 1:
                raise yaml.constructor.ConstructorError(None, None, f"key {name!r} is given twice", node.start_mark)
        return super().construct_mapping(node, deep)

    def construct_scalar(self, node: Any) -> Any:
        """A lone surrogate could be written to no file and name none."""
        if re.search("[\ud800-\udfff]", node.value if isinstance(node.value, str) else ""):
            raise yaml.constructor.ConstructorError(None, None, "half of a surrogate pair", node.start_mark)
        return super().construct_scalar(node)


class _Dumper(yaml.SafeDumper):
    def ignore_aliases(self, data: Any) -> bool:
        return True


for kind in (_Loader, _Dumper):  # the dumper quotes a text that would be read as a number
    kind.add_implicit_resolver("tag:yaml.org,2002:float", _FLOAT, list("-+.0123456789"))
