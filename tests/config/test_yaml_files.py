"""Reading option files: inheritance, overrides, imports, and nothing executed."""

import itertools
import sys
import textwrap

import pytest

from clit_plugin.config.yaml_files import read_options
from clit_plugin.utils.errors import UserError
from clit_plugin.utils.plain_yaml import read_yaml, write_yaml

numbers = itertools.count()


@pytest.fixture
def write(tmp_path):
    """Write files, ``name=text``, with dots in names as ``_``; the folder."""

    def files(**texts: str):
        for name, text in texts.items():
            stem, _, suffix = name.rpartition("_")
            (tmp_path / f"{stem}.{suffix}").write_text(textwrap.dedent(text))
        return tmp_path

    return files


@pytest.fixture
def read(write):
    """Options of a file with this text."""

    def options(text: str, *overrides: str):
        return read_options(write(run_yml=text) / "run.yml", overrides)

    return options


@pytest.fixture
def refused(read, tmp_path):
    """The one line with which a file is refused, without its folder."""

    def message(text: str, *overrides: str) -> str:
        with pytest.raises(UserError) as caught:
            read(text, *overrides)
        assert "\n" not in str(caught.value)
        return str(caught.value).replace(f"{tmp_path}/", "")

    return message


@pytest.fixture
def module_name(monkeypatch):
    """A name that no module has; sys.path and sys.modules are put back."""
    name = f"module_of_test_yaml_files_{next(numbers)}"
    # Without the entry that stands for the working directory, which the command does not have either.
    monkeypatch.setattr(sys, "path", [folder for folder in sys.path if folder])
    yield name
    sys.modules.pop(name, None)


# ---------------------------------------------------------------------- inheritance


def test_a_file_without_bases_is_read_as_it_is(read):
    options = read("name: a\ntrain: {lr: !!float 1e-4, steps: 10, betas: [0.9, 0.99]}\nval: null\n")
    assert options == {"name": "a", "train": {"lr": 1e-4, "steps": 10, "betas": [0.9, 0.99]}, "val": None}


def test_options_are_plain_containers(read, write):
    write(base_yml="b: {c: [{d: 1}]}\n")
    options = read("_base_: base.yml\na: {x: 1}\n")
    assert (type(options), type(options["b"]), type(options["b"]["c"]), type(options["b"]["c"][0])) == (
        dict,
        dict,
        list,
        dict,
    )


def test_a_file_inherits_and_overrides_key_by_key(read, write):
    write(base_yml="name: base\ntrain: {lr: 1, steps: 2}\n")
    assert read("_base_: base.yml\ntrain: {steps: 3}\n") == {"name": "base", "train": {"lr": 1, "steps": 3}}


def test_a_list_is_replaced_and_not_merged(read, write):
    write(base_yml="ranges: [[1, 4], [1, 2]]\n")
    assert read("_base_: base.yml\nranges: [[1, 3]]\n") == {"ranges": [[1, 3]]}


def test_a_file_inherits_from_several(read, write):
    write(one_yml="a: 1\n", two_yml="b: 2\n")
    assert read("_base_: [one.yml, two.yml]\nc: 3\n") == {"a": 1, "b": 2, "c": 3}


def test_a_base_may_have_a_base(read, write):
    write(one_yml="a: 1\nb: 1\n", two_yml="_base_: one.yml\nb: 2\n")
    assert read("_base_: two.yml\n") == {"a": 1, "b": 2}


def test_a_base_is_sought_beside_the_file_that_names_it(tmp_path, monkeypatch):
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "run.yml").write_text("_base_: ../base.yml\n")
    (tmp_path / "base.yml").write_text("a: 1\n")
    monkeypatch.chdir(tmp_path / "sub")
    assert read_options("run.yml") == {"a": 1}


def test_two_bases_with_the_same_key_are_refused(refused, write):
    write(one_yml="twice: 1\n", two_yml="twice: 2\n")
    assert "twice" in refused("_base_: [one.yml, two.yml]\n")


def test_delete_drops_what_a_mapping_would_inherit(read, write):
    write(base_yml="train: {scheduler: {type: A, milestones: [1]}}\n")
    options = read("_base_: base.yml\ntrain: {scheduler: {_delete_: true, type: B}}\n")
    assert options == {"train": {"scheduler": {"type": "B"}}}


def test_a_mapping_in_the_place_of_an_inherited_value_is_refused_with_the_key(refused, write):
    write(base_yml="train: 3\n")
    message = refused("_base_: base.yml\ntrain: {lr: 1}\n")
    assert message.startswith("run.yml: cannot be merged")
    assert "train" in message


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(UserError, match=r"absent\.yml: no such option file$"):
        read_options(tmp_path / "absent.yml")


def test_a_missing_base_is_named_with_the_file_that_wants_it(refused, write):
    write(base_yml="_base_: absent.yml\n")
    message = refused("_base_: base.yml\n")
    assert message == "absent.yml: no such option file (inherited by base.yml)"


def test_a_file_that_inherits_from_itself_is_refused(refused):
    assert refused("_base_: run.yml\n") == "run.yml: inherits from itself through _base_"


def test_files_that_inherit_from_each_other_are_refused(refused, write):
    write(other_yml="_base_: run.yml\n")
    assert "inherits from itself through _base_" in refused("_base_: other.yml\n")


def test_a_base_of_two_bases_is_no_cycle(read, write):
    write(root_yml="a: {b: 1}\n", one_yml="_base_: root.yml\n")
    assert read("_base_: one.yml\n") == {"a": {"b": 1}}


def test_a_shipped_file_is_found_from_anywhere(read):
    options = read("_base_: clit://_base_/stage2.yml\nname: a\n")
    assert options["name"] == "a"
    assert options["network_g"]["num_branches"] == 2
    assert options["datasets"]["train"]["lq_size"] == 48  # of stage2's own base


def test_a_shipped_file_may_be_the_option_file_itself():
    assert read_options("clit://train/edsr_stage1.yml")["name"] == "edsr_stage1"


@pytest.mark.parametrize(
    "name", ["clit://train/edsr_stage9.yml", "clit://../setup.py", "clit:///etc/passwd", "clit://"]
)
def test_a_shipped_file_that_is_not_there_is_refused(refused, name):
    assert refused(f"_base_: {name}\n") == f"{name}: no such option file in the package; 'clit options' lists them"


# ---------------------------------------------------------------------- data sets of one's own

SETS = """
datasets:
  train: {name: their, dataroot_gt: a, degradation: pil, lq_size: 48, max_images: 9}
  val_x2: {name: their_x2, dataroot_gt: b, dataroot_lq: c, filename_tmpl: '{}x2', scale: 2, protocol: div2k}
"""


def test_images_of_ones_own_take_the_place_of_all_inherited_sets(read, write):
    write(base_yml=SETS)
    sets = read("_base_: base.yml\ndatasets: {train: {name: own, dataroot_gt: photos}}\n")["datasets"]
    assert sets == {"train": {"name": "own", "dataroot_gt": "photos", "degradation": "pil", "lq_size": 48}}


def test_an_inherited_set_stays_where_it_is_named(read, write):
    write(base_yml=SETS)
    sets = read("_base_: base.yml\ndatasets: {train: {name: own, dataroot_gt: photos}, val_x2: {}}\n")["datasets"]
    assert sets["val_x2"]["dataroot_gt"] == "b"


def test_an_inherited_set_with_images_of_ones_own_keeps_nothing_of_the_others(read, write):
    write(base_yml=SETS)
    own = "_base_: base.yml\ndatasets: {val_x2: {name: own, dataroot_gt: photos, degradation: pil}}\n"
    expected = {"name": "own", "dataroot_gt": "photos", "degradation": "pil", "scale": 2, "protocol": "div2k"}
    assert read(own)["datasets"] == {"val_x2": expected}


def test_given_lr_images_take_the_place_of_an_inherited_degradation(read, write):
    write(base_yml=SETS)
    train = read("_base_: base.yml\ndatasets: {train: {dataroot_lq: small}}\n")["datasets"]["train"]
    assert "degradation" not in train
    assert train["dataroot_gt"] == "a"


@pytest.mark.parametrize("own", ["train: {lq_size: 8}", "val_x4: {name: b, scale: 4}", ""])
def test_without_images_of_ones_own_all_sets_are_inherited(read, write, own):
    write(base_yml=SETS)
    assert {"train", "val_x2"} <= set(read(f"_base_: base.yml\ndatasets: {{{own}}}\n")["datasets"])


@pytest.mark.parametrize("value", ["3", "null", "{a: b.yml}", "[3]"])
def test_a_base_that_is_no_file_name_is_refused(refused, value):
    assert refused(f"_base_: {value}\n").startswith("run.yml: _base_: expected a file or a list of files, got")


# ---------------------------------------------------------------------- plain YAML only


def test_a_key_given_twice_is_refused(refused):
    assert "key 'name' is given twice" in refused("name: a\nname: b\n")


def test_a_key_given_twice_deep_inside_is_refused_with_its_line(refused):
    message = refused("train:\n  lr: 1\n  steps: 2\n  lr: 3\n")
    assert "key 'lr' is given twice" in message
    assert "line 2" in message


def test_a_key_given_twice_in_a_base_is_refused_with_that_file(refused, write):
    write(base_yml="a: 1\na: 2\n")
    assert refused("_base_: base.yml\n").startswith("base.yml: not plain YAML: key 'a' is given twice")


def test_a_merge_key_of_yaml_is_no_key_given_twice(read):
    assert read("x: &x {a: 1, b: 2}\ny: {<<: *x, b: 3}\n")["y"] == {"a": 1, "b": 3}


EXECUTED = "!!python/object/apply:os.mkdir [executed]"


@pytest.mark.parametrize("tag", [EXECUTED, "!!python/name:os.system", "!!python/tuple [1, 2]", "!custom 3"])
def test_a_tag_of_python_is_refused_and_not_executed(refused, tmp_path, monkeypatch, tag):
    monkeypatch.chdir(tmp_path)
    assert refused(f"a: {tag}\n").startswith("run.yml: not plain YAML")
    assert not (tmp_path / "executed").exists()


def test_a_tag_of_python_in_a_base_is_refused_and_not_executed(refused, write, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write(base_yml=f"a: {EXECUTED}\n")
    assert refused("_base_: base.yml\n").startswith("base.yml: not plain YAML")
    assert not (tmp_path / "executed").exists()


def test_a_tag_of_python_in_an_override_is_refused_and_not_executed(refused, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert "the value is not plain YAML" in refused("a: 1\n", f"a={EXECUTED}")
    assert not (tmp_path / "executed").exists()


def test_a_template_cannot_turn_checked_text_into_code(read, tmp_path, monkeypatch):
    """mmengine replaces {{$NAME:value}} in the text before it reads the YAML, with a loader that runs code."""
    monkeypatch.chdir(tmp_path)
    options = read(f"a: '{{{{$NOT_SET:''}}}}\n  \nb: {EXECUTED} #'\n")
    assert list(options) == ["a"]
    assert not (tmp_path / "executed").exists()


def test_a_template_of_a_base_is_refused(refused, write):
    write(base_yml="a: 1\n")
    assert "templates as {{_base_.name}} are not supported" in refused("_base_: base.yml\nb: '{{ _base_.a }}'\n")


def test_a_base_in_python_is_refused_and_not_executed(refused, write, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write(base_py="import os\nos.mkdir('executed')\n")
    assert refused("_base_: base.py\n") == "base.py: option files end in .yml"
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize("name", ["run.json", "run.py", "run"])
def test_a_file_of_another_kind_is_refused(tmp_path, name):
    (tmp_path / name).write_text("{}")
    with pytest.raises(UserError, match=r"option files end in \.yml"):
        read_options(tmp_path / name)


@pytest.mark.parametrize("text", ["", "- a\n- b\n", "text\n", "1: 2\n"])
def test_a_file_without_named_options_is_refused(refused, text):
    assert refused(text) == "run.yml: expected a mapping of options by their names"


@pytest.mark.parametrize("text", ["a: [1\n", "a: b: c\n", "a:\n\tb: 1\n", "a: *nowhere\n", "{a: 1}: 2\n"])
def test_broken_yaml_is_refused_in_one_line(refused, text):
    assert refused(text).startswith("run.yml: not plain YAML: ")


def test_a_file_that_is_no_text_is_refused(tmp_path):
    (tmp_path / "run.yml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match=r"run\.yml: not plain YAML"):
        read_options(tmp_path / "run.yml")


def test_half_of_a_surrogate_pair_is_refused(refused):
    assert refused('a: "\\ud800"\n').startswith("run.yml: not plain YAML: half of a surrogate pair")


def bomb(levels: int) -> str:
    """Ten aliases a level, so that a file of a few lines stands for 10^levels values."""
    lines = ["a0: &a0 x"] + [f"a{i + 1}: &a{i + 1} [{', '.join([f'*a{i}'] * 10)}]" for i in range(levels)]
    return "\n".join(lines) + "\n"


UNREADABLE = {
    "ten million aliases": (bomb(7), "more than 20000 values, with aliases written out"),
    "a million aliases in mappings": (bomb(6).replace("[", "{b: [").replace("]", "]}"), "more than 20000 values"),
    "too many values": (f"a: [{'1,' * 20001}]\n", "more than 20000 values"),
    "lists of lists": (f"a: {'[' * 60}{']' * 60}\n", "nested more than 50 levels deep"),
    "lists without end": (f"a: {'[' * 100_000}\n", "nested more than 50 levels deep"),
    "mappings without end": ("a: " + "{a: " * 5000 + "\n", "nested more than 50 levels deep"),
    "itself": ("a: &a [*a]\n", "an alias inside of what it stands for"),
    "a day that is none": ("a: 2001-02-31\n", "a value that cannot be read (day is out of range for month)"),
    "a number of 5000 digits": (f"a: {'9' * 5000}\n", "a value that cannot be read (Exceeds the limit"),
    "a number that is none": ("a: !!int ''\n", "a value that cannot be read ("),
    "NUL": ('a: "x\\0y"\n', "NUL in a text"),
    "a megabyte": ("a: b\n" * 210_000, "more than 1048576 characters"),
}


@pytest.mark.parametrize("kind", UNREADABLE)
def test_what_no_options_hold_is_refused_at_once_and_in_one_line(refused, kind):
    text, told = UNREADABLE[kind]
    message = refused(text)
    assert message.startswith("run.yml: not plain YAML: ") and told in message


def test_aliases_are_read_as_what_they_stand_for(read):
    assert read("a: &x [1, 2]\nb: [*x, *x]\n") == {"a": [1, 2], "b": [[1, 2], [1, 2]]}


@pytest.mark.parametrize("name", ["text", "filename", "pretty_text"])
def test_names_that_mmengine_reserves_are_names_as_others(read, name):
    assert read(f"{name}: 1\n") == {name: 1}


def test_a_key_with_a_dot_is_no_path_of_keys(read, write):
    write(base_yml="train: {lr: 1}\n")
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
def test_what_only_looks_like_a_number_stays_text(read, text):
    assert read(f"a: {text}\n") == {"a": text.strip("'\"")}


@pytest.mark.parametrize("value", ["1e-4", "1e5", "null", "a: b", "5", "ä", 1e-5, 1e-4, 1e16, [1, [2.5]], None, {}])
def test_what_is_written_is_read_as_the_same(value):
    written = read_yaml(write_yaml({"a": value}))["a"]
    assert written == value
    assert type(written) is type(value)


# ---------------------------------------------------------------------- overrides


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("train.lr=2", {"train": {"lr": 2, "m": [1, 2]}}),
        ("train.lr=0.5", {"train": {"lr": 0.5, "m": [1, 2]}}),
        ("train.lr=!!float 1e-4", {"train": {"lr": 1e-4, "m": [1, 2]}}),
        ("train.m=[3, [4, 5]]", {"train": {"lr": 1, "m": [3, [4, 5]]}}),
        ("train.lr=null", {"train": {"lr": None, "m": [1, 2]}}),
        ("train.lr=", {"train": {"lr": None, "m": [1, 2]}}),
        ("train.lr=true", {"train": {"lr": True, "m": [1, 2]}}),
        ("train.lr=a=b", {"train": {"lr": "a=b", "m": [1, 2]}}),
        ("train.new.key=3", {"train": {"lr": 1, "m": [1, 2], "new": {"key": 3}}}),
        ("name=/a b/c.png", {"train": {"lr": 1, "m": [1, 2]}, "name": "/a b/c.png"}),
        ("train={_delete_: true, x: 1}", {"train": {"x": 1}}),
    ],
)
def test_an_override_wins_over_the_file(read, override, expected):
    assert read("train: {lr: 1, m: [1, 2]}\n", override) == expected


def test_overrides_win_over_what_is_inherited(read, write):
    write(base_yml="train: {lr: 1, steps: 2}\n")
    assert read("_base_: base.yml\n", "train.lr=5", "train.steps=6") == {"train": {"lr": 5, "steps": 6}}


@pytest.mark.parametrize("override", ["train.lr", "=3", ""])
def test_an_override_without_key_or_value_is_refused_with_an_example(refused, override):
    assert refused("a: 1\n", override) == f"--set {override}: expected KEY=VALUE, as in train.total_iter=1000"


@pytest.mark.parametrize("override", ["a=[1", "a={b: c: d}"])
def test_an_override_with_broken_yaml_is_refused(refused, override):
    assert refused("a: 1\n", override).startswith(f"--set {override}: the value is not plain YAML")


@pytest.mark.parametrize("overrides", [["a.b=1"], ["m.0=5"], ["m.7=5"], ["m.x=5"], ["c=1", "c.d=2"]])
def test_an_override_below_a_value_is_refused(refused, overrides):
    assert "with --set" in refused("a: 1\nm: [1, 2]\n", *overrides)


# ---------------------------------------------------------------------- custom_imports


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


def test_a_base_may_name_the_imports(read, write, tmp_path, module_name):
    (tmp_path / f"{module_name}.py").write_text("")
    write(base_yml=f"custom_imports: {{imports: [{module_name}]}}\n")
    assert read("_base_: base.yml\n")["custom_imports"]["imports"] == [module_name]
    assert module_name in sys.modules


def test_a_module_in_a_folder_of_the_imports_is_imported(read, tmp_path, module_name):
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / f"{module_name}.py").write_text("")
    options = read(f"custom_imports: {{imports: [{module_name}], folders: [code]}}\n")
    assert options["custom_imports"]["folders"] == [str(tmp_path / "code"), str(tmp_path)]
    assert module_name in sys.modules


def test_a_module_that_does_not_exist_is_refused(refused, module_name):
    message = refused(f"custom_imports: {{imports: [{module_name}]}}\n")
    assert message.startswith(f"custom_imports: {module_name} cannot be imported (ModuleNotFoundError: No module")


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("1 / 0\n", "ZeroDivisionError: division by zero"),
        ("def broken(\n", "SyntaxError"),
        ("from clit_plugin import not_there\n", "ImportError"),
    ],
)
def test_a_module_that_fails_is_refused_in_one_line(refused, tmp_path, module_name, source, reason):
    (tmp_path / f"{module_name}.py").write_text(source)
    message = refused(f"custom_imports: {{imports: [{module_name}]}}\n")
    assert f"{module_name} cannot be imported ({reason}" in message


@pytest.mark.parametrize("value", ["{import: [a]}", "{imports: 3}", "{imports: [3]}", "3"])
def test_imports_that_are_no_names_are_refused(refused, value):
    assert refused(f"custom_imports: {value}\n").startswith("custom_imports: expected {imports: [module, ...]}, got")


def test_nothing_is_imported_by_a_file_that_is_refused(refused, tmp_path, module_name):
    (tmp_path / f"{module_name}.py").write_text("")
    refused(f"custom_imports: {{imports: [{module_name}]}}\na: 1\n", "a.b=1")
    assert module_name not in sys.modules
