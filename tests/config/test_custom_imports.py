"""Modules that option files import."""

import itertools
import sys

import pytest

numbers = itertools.count()


@pytest.fixture
def module_name(monkeypatch):
    """A name that no module has; sys.path and sys.modules are put back."""
    name = f"module_of_test_yaml_files_{next(numbers)}"
    # Without the entry that stands for the working directory, which the command does not have either.
    monkeypatch.setattr(sys, "path", [folder for folder in sys.path if folder])
    yield name
    sys.modules.pop(name, None)


def test_a_module_beside_the_file_is_imported(read, tmp_path, module_name):
    (tmp_path / f"{module_name}.py").write_text("here = 1\n")
    options = read(f"custom_imports: {{imports: [{module_name}]}}\na: 1\n")
    assert options == {"a": 1, "custom_imports": {"imports": [module_name], "folders": [str(tmp_path)]}}
    assert sys.modules[module_name].here == 1


def test_a_module_in_the_working_directory_is_imported(read, tmp_path, monkeypatch, module_name):
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / f"{module_name}.py").write_text("")
    monkeypatch.chdir(tmp_path / "work")
    read(f"custom_imports: {{imports: {module_name}}}\n")
    assert module_name in sys.modules


def test_imports_may_be_given_as_a_plain_list(read, tmp_path, module_name):
    (tmp_path / f"{module_name}.py").write_text("")
    read(f"custom_imports: [{module_name}]\n")
    assert module_name in sys.modules


def test_a_base_may_name_the_imports(read, write_files, tmp_path, module_name):
    (tmp_path / f"{module_name}.py").write_text("")
    write_files(base_yml=f"custom_imports: {{imports: [{module_name}]}}\n")
    assert read("_base_: base.yml\n")["custom_imports"]["imports"] == [module_name]
    assert module_name in sys.modules


def test_a_module_in_a_folder_of_the_imports_is_imported(read, tmp_path, module_name):
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / f"{module_name}.py").write_text("")
    options = read(f"custom_imports: {{imports: [{module_name}], folders: [code]}}\n")
    assert options["custom_imports"]["folders"] == [str(tmp_path / "code"), str(tmp_path)]
    assert module_name in sys.modules


def test_a_module_that_does_not_exist_is_refused(refused_file, module_name):
    message = refused_file(f"custom_imports: {{imports: [{module_name}]}}\n")
    assert message.startswith(f"custom_imports: {module_name} cannot be imported (ModuleNotFoundError: No module")


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("1 / 0\n", "ZeroDivisionError: division by zero"),
        ("def broken(\n", "SyntaxError"),
        ("from clit_plugin import not_there\n", "ImportError"),
    ],
)
def test_a_module_that_fails_is_refused_in_one_line(refused_file, tmp_path, module_name, source, reason):
    (tmp_path / f"{module_name}.py").write_text(source)
    message = refused_file(f"custom_imports: {{imports: [{module_name}]}}\n")
    assert f"{module_name} cannot be imported ({reason}" in message


@pytest.mark.parametrize("value", ["{import: [a]}", "{imports: 3}", "{imports: [3]}", "3"])
def test_imports_that_are_not_module_names_are_refused(refused_file, value):
    assert refused_file(f"custom_imports: {value}\n").startswith(
        "custom_imports: expected {imports: [module, ...]}, got"
    )


def test_a_refused_file_imports_nothing(refused_file, tmp_path, module_name):
    (tmp_path / f"{module_name}.py").write_text("")
    refused_file(f"custom_imports: {{imports: [{module_name}]}}\na: 1\n", "a.b=1")
    assert module_name not in sys.modules
