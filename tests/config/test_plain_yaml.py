"""Plain YAML only: nothing is executed, no key is given twice, and what cannot be read is refused in one line."""

import pytest

from clit_plugin.config.yaml_files import read_options
from clit_plugin.utils.errors import UserError
from clit_plugin.utils.plain_yaml import read_yaml, write_yaml


def test_a_key_given_twice_is_refused(refused_file):
    assert "key 'name' is given twice" in refused_file("name: a\nname: b\n")


def test_a_key_given_twice_deep_inside_is_refused_with_its_line(refused_file):
    message = refused_file("train:\n  lr: 1\n  steps: 2\n  lr: 3\n")
    assert "key 'lr' is given twice" in message
    assert "line 2" in message


def test_a_key_given_twice_in_a_base_is_refused_with_that_file(refused_file, write_files):
    write_files(base_yml="a: 1\na: 2\n")
    assert refused_file("_base_: base.yml\n").startswith("base.yml: not plain YAML: key 'a' is given twice")


def test_a_merge_key_may_repeat_the_keys_that_it_overrides(read):
    assert read("x: &x {a: 1, b: 2}\ny: {<<: *x, b: 3}\n")["y"] == {"a": 1, "b": 3}


EXECUTED = "!!python/object/apply:os.mkdir [executed]"


@pytest.mark.parametrize("tag", [EXECUTED, "!!python/name:os.system", "!!python/tuple [1, 2]", "!custom 3"])
def test_a_tag_of_python_is_refused_and_not_executed(refused_file, tmp_path, monkeypatch, tag):
    monkeypatch.chdir(tmp_path)
    assert refused_file(f"a: {tag}\n").startswith("run.yml: not plain YAML")
    assert not (tmp_path / "executed").exists()


def test_a_tag_of_python_in_a_base_is_refused_and_not_executed(refused_file, write_files, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_files(base_yml=f"a: {EXECUTED}\n")
    assert refused_file("_base_: base.yml\n").startswith("base.yml: not plain YAML")
    assert not (tmp_path / "executed").exists()


def test_a_tag_of_python_in_an_override_is_refused_and_not_executed(refused_file, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert "the value is not plain YAML" in refused_file("a: 1\n", f"a={EXECUTED}")
    assert not (tmp_path / "executed").exists()


def test_a_template_cannot_turn_checked_text_into_code(read, tmp_path, monkeypatch):
    """mmengine replaces {{$NAME:value}} in the text before it reads the YAML, with a loader that runs code."""
    monkeypatch.chdir(tmp_path)
    options = read(f"a: '{{{{$NOT_SET:''}}}}\n  \nb: {EXECUTED} #'\n")
    assert list(options) == ["a"]
    assert not (tmp_path / "executed").exists()


def test_a_template_of_a_base_is_refused(refused_file, write_files):
    write_files(base_yml="a: 1\n")
    assert "templates as {{_base_.name}} are not supported" in refused_file("_base_: base.yml\nb: '{{ _base_.a }}'\n")


def test_a_base_in_python_is_refused_and_not_executed(refused_file, write_files, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_files(base_py="import os\nos.mkdir('executed')\n")
    assert refused_file("_base_: base.py\n") == "base.py: option files end in .yml"
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize("name", ["run.json", "run.py", "run"])
def test_a_file_without_the_suffix_of_yaml_is_refused(tmp_path, name):
    (tmp_path / name).write_text("{}")
    with pytest.raises(UserError, match=r"option files end in \.yml"):
        read_options(tmp_path / name)


@pytest.mark.parametrize("text", ["", "- a\n- b\n", "text\n", "1: 2\n"])
def test_a_file_without_named_options_is_refused(refused_file, text):
    assert refused_file(text) == "run.yml: expected a mapping of options by their names"


@pytest.mark.parametrize("text", ["a: [1\n", "a: b: c\n", "a:\n\tb: 1\n", "a: *nowhere\n", "{a: 1}: 2\n"])
def test_broken_yaml_is_refused_in_one_line(refused_file, text):
    assert refused_file(text).startswith("run.yml: not plain YAML: ")


def test_a_binary_file_is_refused(tmp_path):
    (tmp_path / "run.yml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match=r"run\.yml: not plain YAML"):
        read_options(tmp_path / "run.yml")


def test_a_lone_surrogate_is_refused(refused_file):
    assert refused_file('a: "\\ud800"\n').startswith("run.yml: not plain YAML: half of a surrogate pair")


def bomb(levels: int) -> str:
    """Ten aliases a level, so that a file of a few lines stands for 10^levels values."""
    lines = ["a0: &a0 x"] + [f"a{i + 1}: &a{i + 1} [{', '.join([f'*a{i}'] * 10)}]" for i in range(levels)]
    return "\n".join(lines) + "\n"


UNREADABLE = {
    "ten million aliases": (bomb(7), "more than 20000 values, with aliases expanded"),
    "a million aliases in mappings": (bomb(6).replace("[", "{b: [").replace("]", "]}"), "more than 20000 values"),
    "too many values": (f"a: [{'1,' * 20001}]\n", "more than 20000 values"),
    "lists of lists": (f"a: {'[' * 60}{']' * 60}\n", "nested more than 50 levels deep"),
    "lists without end": (f"a: {'[' * 100_000}\n", "nested more than 50 levels deep"),
    "mappings without end": ("a: " + "{a: " * 5000 + "\n", "nested more than 50 levels deep"),
    "itself": ("a: &a [*a]\n", "an alias inside its own anchor"),
    "a day that is none": ("a: 2001-02-31\n", "a value that cannot be read (day is out of range for month)"),
    "a number of 5000 digits": (f"a: {'9' * 5000}\n", "a value that cannot be read (Exceeds the limit"),
    "a number that is none": ("a: !!int ''\n", "a value that cannot be read ("),
    "NUL": ('a: "x\\0y"\n', "NUL in a string"),
    "a megabyte": ("a: b\n" * 210_000, "more than 1048576 characters"),
}


@pytest.mark.parametrize("kind", UNREADABLE)
def test_yaml_values_that_options_never_hold_are_refused_in_one_line(refused_file, kind):
    text, expected = UNREADABLE[kind]
    message = refused_file(text)
    assert message.startswith("run.yml: not plain YAML: ") and expected in message


def test_aliases_are_resolved(read):
    assert read("a: &x [1, 2]\nb: [*x, *x]\n") == {"a": [1, 2], "b": [[1, 2], [1, 2]]}


@pytest.mark.parametrize("name", ["text", "filename", "pretty_text"])
def test_names_that_mmengine_reserves_are_ordinary_keys(read, name):
    assert read(f"{name}: 1\n") == {name: 1}


def test_a_dot_in_a_key_does_not_make_it_a_path(read, write_files):
    write_files(base_yml="train: {lr: 1}\n")
    assert read("_base_: base.yml\ntrain.lr: 2\n") == {"train": {"lr": 1}, "train.lr": 2}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-4", 1e-4),
        ("1E3", 1000.0),
        ("-2.5e+1", -25.0),
        (".5e1", 5.0),
        ("5.e0", 5.0),
        ("+1e05", 1e5),
        ("1.0e-4", 1e-4),
    ],
)
def test_a_number_with_an_exponent_is_a_number(read, text, value):
    for options in (read(f"a: {text}\n"), read("b: 1\n", f"a={text}"), read(f"b: [{{a: {text}}}]\n")["b"][0]):
        assert options["a"] == value
        assert type(options["a"]) is float


@pytest.mark.parametrize("text", ["1e", "e4", "1e-", "1e4x", "x1e4", "1e-4.5", "'1e-4'", '"1e-4"'])
def test_text_that_only_resembles_a_number_stays_text(read, text):
    assert read(f"a: {text}\n") == {"a": text.strip("'\"")}


@pytest.mark.parametrize("value", ["1e-4", "1e5", "null", "a: b", "5", "ä", 1e-5, 1e-4, 1e16, [1, [2.5]], None, {}])
def test_values_round_trip_through_written_yaml(value):
    written = read_yaml(write_yaml({"a": value}))["a"]
    assert written == value
    assert type(written) is type(value)
