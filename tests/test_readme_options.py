"""options/REFERENCE.md is what scripts/option_reference.py writes."""

import importlib.util
from dataclasses import fields
from pathlib import Path

import pytest

from clit_plugin.config.sections import SECTIONS

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def printed() -> str:
    """What the script writes."""
    spec = importlib.util.spec_from_file_location("option_reference", ROOT / "scripts" / "option_reference.py")
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    return script.option_reference()


def rows_of(text: str) -> dict[str, dict[str, list[str]]]:
    """Cells by key, by heading."""
    tables: dict[str, dict[str, list[str]]] = {}
    rows: dict[str, list[str]] = {}
    for line in text.splitlines():
        if line.startswith("## "):
            rows = tables.setdefault(line.removeprefix("## "), {})
        elif line.startswith("| `"):
            cells = [cell.strip() for cell in line.strip("|").split(" | ")]
            rows[cells[0].strip("`")] = cells[1:]
    return tables


def keys_of(section):
    """The keys that a user may give."""
    return [field.name for field in fields(section) if field.name not in ("phase", "resume_iter")]


@pytest.mark.parametrize(("name", "section"), SECTIONS.items(), ids=lambda value: value or "top level")
def test_every_key_of_a_section_is_in_its_table(printed, name, section):
    heading = next(heading for heading in rows_of(printed) if heading.startswith(f"`{name}`" if name else "Top level"))
    assert list(rows_of(printed)[heading]) == keys_of(section)


def test_every_row_has_a_default_and_a_meaning(printed):
    for rows in rows_of(printed).values():
        for key, cells in rows.items():
            assert len(cells) == 2, key
            assert all(cells), key


def test_defaults_are_written_as_yaml(printed):
    tables = rows_of(printed)
    assert tables["Top level"]["name"][0] == "required"
    assert tables["Top level"]["num_gpu"][0] == "`auto`"
    assert tables["`path`"]["strict_load_g"][0] == "`true`"
    assert tables["`path`"]["resume_state"][0] == "`null`"
    assert tables["`datasets.train`"]["scale_ranges"][0] == "`[[[1, 4]]]`"
    assert tables["`datasets.train`"]["filename_tmpl"][0] == "`'{}'`"


def test_the_reference_is_what_the_script_writes(printed):
    written = (ROOT / "options" / "REFERENCE.md").read_text(encoding="utf-8")
    assert written == printed, "run scripts/option_reference.py"
