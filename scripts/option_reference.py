#!/usr/bin/env python3
"""Print the reference of all options as Markdown; it belongs into README.md between its two ``options`` marks."""

import dataclasses
from typing import Any

import yaml

from clit_plugin.config.sections import SECTIONS
from clit_plugin.data.dataset_options import SET_BY_BASICSR

# Of sections whose keys hold for more than the section of that name.
HEADINGS = {
    "": "Top level",
    "datasets.val": "`datasets.val`, `datasets.val_2`, ..., and `datasets.test...`",
    "degradation": "`degradation` of a set, as a mapping",
}


def option_reference() -> str:
    """A heading and a table of key, default and meaning for every section."""
    return "\n\n".join(_section(name, section) for name, section in SECTIONS.items())


def _section(name: str, section: type) -> str:
    rows = ["| key | default | meaning |", "|---|---|---|"]
    for field in dataclasses.fields(section):
        if field.name in SET_BY_BASICSR:
            continue
        rows.append(f"| `{field.name}` | {_default(field)} | {_cell(field.metadata['doc'])} |")
    return "\n".join([f"**{HEADINGS.get(name, f'`{name}`')}**", "", *rows])


def _default(field: dataclasses.Field[Any]) -> str:
    """The default as YAML writes it."""
    if field.default_factory is not dataclasses.MISSING:
        return _yaml(field.default_factory())
    return "required" if field.default is dataclasses.MISSING else _yaml(field.default)


def _yaml(value: Any) -> str:
    text = yaml.safe_dump(value, default_flow_style=True, width=1000)
    return f"`{_cell(text.removesuffix('...' + chr(10)).strip())}`"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    print(option_reference())
