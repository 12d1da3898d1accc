"""What the checks fill in, and what they leave alone."""

import copy
from dataclasses import fields

import pytest

from clit_plugin.config.option_checks import SECTIONS, check_options


def test_the_options_given_are_not_changed(good):
    before = copy.deepcopy(good)
    check_options(good, is_train=True)
    assert good == before


def test_checked_options_share_no_objects_with_the_given_ones(good):
    checked = check_options(good, is_train=True)
    checked.network_g["encoder"]["num_feat"] = 99
    checked.train.optim_g["lr"] = 99
    checked.val.metrics.clear()
    assert good["network_g"]["encoder"]["num_feat"] == 8
    assert good["train"]["optim_g"]["lr"] == 1e-3
    assert good["val"]["metrics"]


def test_checked_options_pass_the_check_again_unchanged(good):
    checked = check_options(good, is_train=True)
    assert check_options(checked.for_basicsr(), is_train=True) == checked


def test_whole_floats_become_integers_in_every_section(good):
    good["train"]["total_iter"] = 4.0
    good["datasets"]["train"]["lq_size"] = 8.0
    good["network_g"]["dim"] = 8.0
    good["network_g"]["encoder"]["num_feat"] = 8.0
    checked = check_options(good, is_train=True)
    values = [checked.train.total_iter, checked.datasets.train.lq_size]
    values += [checked.network_g["dim"], checked.network_g["encoder"]["num_feat"]]
    assert [type(value) for value in values] == [int] * 4


def test_sections_that_are_left_out_get_their_defaults(good):
    for name in ("val", "logger", "num_gpu"):
        del good[name]
    checked = check_options(good, is_train=True)
    assert checked.val.val_freq == 5000
    assert checked.logger.print_freq == 100
    assert checked.num_gpu == "auto"
    assert checked.path.strict_load_g is True


@pytest.mark.parametrize(
    ("ranges", "expected"),
    [
        ([[[1, 4]]], False),
        ([[[1, 4]], [[4, 12]]], False),
        ([[[1, 4], [1, 4]]], False),
        ([[[1, 4]], [[1, 4], [1, 4]]], True),
    ],
    ids=str,
)
def test_find_unused_parameters_is_set_where_a_scale_alternative_leaves_a_branch_idle(good, ranges, expected):
    good["datasets"]["train"]["scale_ranges"] = ranges
    good["network_g"]["num_branches"] = max(map(len, ranges))
    assert check_options(good, is_train=True).find_unused_parameters is expected


@pytest.mark.parametrize("value", [True, False])
def test_a_given_find_unused_parameters_is_kept(good, value):
    good["find_unused_parameters"] = value
    assert check_options(good, is_train=True).find_unused_parameters is value


def test_the_sample_seed_defaults_to_manual_seed(good):
    assert check_options(good | {"manual_seed": 17}, is_train=True).datasets.train.seed == 17


def test_a_given_sample_seed_is_kept(good):
    good["datasets"]["train"]["seed"] = 5
    assert check_options(good | {"manual_seed": 17}, is_train=True).datasets.train.seed == 5


def test_the_sample_seed_is_0_without_manual_seed(good):
    del good["manual_seed"]
    checked = check_options(good, is_train=True)
    assert (checked.manual_seed, checked.datasets.train.seed) == (0, 0)


def test_a_network_of_basicsr_serves_as_encoder(good):
    arch = {"type": "RRDBNet", "num_in_ch": 3, "num_out_ch": 3, "num_feat": 4, "num_block": 1, "num_grow_ch": 2}
    good["network_g"]["encoder"] = {"type": "BasicSRFeatures", "arch": arch, "layer": "conv_body"}
    assert check_options(good, is_train=True).network_g["encoder"]["arch"] == arch


@pytest.mark.parametrize(("name", "section"), SECTIONS.items(), ids=str)
def test_every_key_of_a_section_has_a_row_in_the_reference(name, section):
    assert fields(section)
    assert [field.name for field in fields(section) if not field.metadata.get("doc")] == []
