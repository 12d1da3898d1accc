"""Option files that inherit from others through ``_base_``."""

import pytest

from clit_plugin.config.yaml_files import read_options
from clit_plugin.utils.errors import UserError


def test_a_file_without_bases_is_read_as_it_is(read):
    options = read("name: a\ntrain: {lr: !!float 1e-4, steps: 10, betas: [0.9, 0.99]}\nval: null\n")
    assert options == {"name": "a", "train": {"lr": 1e-4, "steps": 10, "betas": [0.9, 0.99]}, "val": None}


def test_options_are_plain_containers(read, write_files):
    write_files(base_yml="b: {c: [{d: 1}]}\n")
    options = read("_base_: base.yml\na: {x: 1}\n")
    assert (type(options), type(options["b"]), type(options["b"]["c"]), type(options["b"]["c"][0])) == (
        dict,
        dict,
        list,
        dict,
    )


def test_a_file_inherits_and_overrides_key_by_key(read, write_files):
    write_files(base_yml="name: base\ntrain: {lr: 1, steps: 2}\n")
    assert read("_base_: base.yml\ntrain: {steps: 3}\n") == {"name": "base", "train": {"lr": 1, "steps": 3}}


def test_a_list_is_replaced_and_not_merged(read, write_files):
    write_files(base_yml="ranges: [[1, 4], [1, 2]]\n")
    assert read("_base_: base.yml\nranges: [[1, 3]]\n") == {"ranges": [[1, 3]]}


def test_a_file_inherits_from_several(read, write_files):
    write_files(one_yml="a: 1\n", two_yml="b: 2\n")
    assert read("_base_: [one.yml, two.yml]\nc: 3\n") == {"a": 1, "b": 2, "c": 3}


def test_a_base_may_have_a_base(read, write_files):
    write_files(one_yml="a: 1\nb: 1\n", two_yml="_base_: one.yml\nb: 2\n")
    assert read("_base_: two.yml\n") == {"a": 1, "b": 2}


def test_a_base_is_looked_up_relative_to_the_file_that_names_it(tmp_path, monkeypatch):
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "run.yml").write_text("_base_: ../base.yml\n")
    (tmp_path / "base.yml").write_text("a: 1\n")
    monkeypatch.chdir(tmp_path / "sub")
    assert read_options("run.yml") == {"a": 1}


def test_two_bases_with_the_same_key_are_refused(refused_file, write_files):
    write_files(one_yml="twice: 1\n", two_yml="twice: 2\n")
    assert "twice" in refused_file("_base_: [one.yml, two.yml]\n")


def test_delete_keeps_a_mapping_from_inheriting_keys(read, write_files):
    write_files(base_yml="train: {scheduler: {type: A, milestones: [1]}}\n")
    options = read("_base_: base.yml\ntrain: {scheduler: {_delete_: true, type: B}}\n")
    assert options == {"train": {"scheduler": {"type": "B"}}}


def test_a_mapping_in_the_place_of_an_inherited_value_is_refused_with_the_key(refused_file, write_files):
    write_files(base_yml="train: 3\n")
    message = refused_file("_base_: base.yml\ntrain: {lr: 1}\n")
    assert message.startswith("run.yml: cannot be merged")
    assert "train" in message


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(UserError, match=r"absent\.yml: no such option file$"):
        read_options(tmp_path / "absent.yml")


def test_a_missing_base_is_named_with_the_file_that_inherits_from_it(refused_file, write_files):
    write_files(base_yml="_base_: absent.yml\n")
    message = refused_file("_base_: base.yml\n")
    assert message == "absent.yml: no such option file (inherited by base.yml)"


def test_a_file_that_inherits_from_itself_is_refused(refused_file):
    assert refused_file("_base_: run.yml\n") == "run.yml: inherits from itself through _base_"


def test_files_that_inherit_from_each_other_are_refused(refused_file, write_files):
    write_files(other_yml="_base_: run.yml\n")
    assert "inherits from itself through _base_" in refused_file("_base_: other.yml\n")


def test_a_base_shared_by_two_bases_is_not_a_cycle(read, write_files):
    write_files(root_yml="a: {b: 1}\n", one_yml="_base_: root.yml\n")
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
def test_a_shipped_file_that_is_not_there_is_refused(refused_file, name):
    assert refused_file(f"_base_: {name}\n") == f"{name}: no such option file in the package; 'clit options' lists them"


SETS = """
datasets:
  train: {name: their, dataroot_gt: a, degradation: pil, lq_size: 48, max_images: 9}
  val_x2: {name: their_x2, dataroot_gt: b, dataroot_lq: c, filename_tmpl: '{}x2', scale: 2, protocol: div2k}
"""


def test_a_file_with_its_own_images_inherits_no_other_sets(read, write_files):
    write_files(base_yml=SETS)
    sets = read("_base_: base.yml\ndatasets: {train: {name: own, dataroot_gt: photos}}\n")["datasets"]
    assert sets == {"train": {"name": "own", "dataroot_gt": "photos", "degradation": "pil", "lq_size": 48}}


def test_an_inherited_set_is_kept_where_the_file_names_it(read, write_files):
    write_files(base_yml=SETS)
    sets = read("_base_: base.yml\ndatasets: {train: {name: own, dataroot_gt: photos}, val_x2: {}}\n")["datasets"]
    assert sets["val_x2"]["dataroot_gt"] == "b"


def test_a_set_with_its_own_images_inherits_no_lr_images(read, write_files):
    write_files(base_yml=SETS)
    own = "_base_: base.yml\ndatasets: {val_x2: {name: own, dataroot_gt: photos, degradation: pil}}\n"
    expected = {"name": "own", "dataroot_gt": "photos", "degradation": "pil", "scale": 2, "protocol": "div2k"}
    assert read(own)["datasets"] == {"val_x2": expected}


def test_lr_images_replace_an_inherited_degradation(read, write_files):
    write_files(base_yml=SETS)
    train = read("_base_: base.yml\ndatasets: {train: {dataroot_lq: small}}\n")["datasets"]["train"]
    assert "degradation" not in train
    assert train["dataroot_gt"] == "a"


@pytest.mark.parametrize("own", ["train: {lq_size: 8}", "val_x4: {name: b, scale: 4}", ""])
def test_a_file_without_its_own_images_inherits_all_sets(read, write_files, own):
    write_files(base_yml=SETS)
    assert {"train", "val_x2"} <= set(read(f"_base_: base.yml\ndatasets: {{{own}}}\n")["datasets"])


@pytest.mark.parametrize("value", ["3", "null", "{a: b.yml}", "[3]"])
def test_a_base_that_is_not_a_file_name_is_refused(refused_file, value):
    assert refused_file(f"_base_: {value}\n").startswith("run.yml: _base_: expected a file or a list of files, got")
