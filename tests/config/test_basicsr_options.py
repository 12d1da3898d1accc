"""Option files as people have them for BasicSR."""

import copy
import textwrap

import pytest
import yaml
from basicsr_file import FILE
from train_helpers import TINY_NETWORK

from clit_plugin.config.basicsr_options import is_for_this_package, translate
from clit_plugin.config.option_checks import check_options
from clit_plugin.utils.errors import UserError


@pytest.fixture
def given() -> dict:
    """Such a file's options."""
    return yaml.safe_load(FILE) | {"network_g": copy.deepcopy(TINY_NETWORK)}


def test_a_usual_basicsr_file_is_accepted(given):
    options = check_options(given, is_train=True)
    train, val = options.datasets.train, options.datasets.scored["val"]
    assert options.model_type == "CumulativeScaleModel"
    assert (train.type, train.lq_size, train.prefetch_mode) == ("ArbitraryScalePairedDataset", 8, None)
    assert (train.use_hflip, train.use_vflip, train.use_rot) == (True, False, False)
    assert (val.scale, val.protocol) == (2.0, "benchmark")
    assert "dist_params" not in options.for_basicsr()


def test_every_translated_key_has_a_note(given):
    keys = [note.split(": ")[0] for note in translate(given)]
    assert keys == [
        "dist_params",
        "model_type",
        "scale",
        "datasets.train.use_shuffle",
        "datasets.train.num_prefetch_queue",
        "datasets.train.type",
        "datasets.train.use_vflip",
        "datasets.train.prefetch_mode",
        "datasets.train.lq_size",
        "datasets.val.use_shuffle",
        "datasets.val.type",
        "datasets.val.batch_size_per_gpu",
        "datasets.val.num_worker_per_gpu",
        "datasets.val.protocol",
    ]


def test_options_of_this_package_are_not_changed(given):
    checked = check_options(given, is_train=True).for_basicsr()
    again = copy.deepcopy(checked)
    assert translate(again) == []
    assert again == checked


def test_empty_keys_of_basicsr_are_dropped_without_a_note(given):
    given["datasets"]["train"] |= {"use_shuffle": None, "mean": None, "std": None}
    keys = {note.split(": ")[0] for note in translate(given)}
    assert keys.isdisjoint(f"datasets.train.{key}" for key in ("use_shuffle", "mean", "std", "meta_info_file"))


CONTRADICTIONS = [
    ("datasets: {train: {gt_size: 17}}", "datasets.train.gt_size: expected a multiple of the scale, 2, got 17"),
    ("datasets: {train: {lq_size: 9}}", "datasets.train.gt_size: 16 at scale 2 is an lq_size of 8, but lq_size is 9"),
    ("datasets: {train: {scale: 3}}", "datasets.train.scale: is 3, but scale at the top level is 2"),
    ("scale: ~", "datasets.train.gt_size: needs a scale to become lq_size"),
    ("datasets: {val: {scale: 3}}", "datasets.val.scale: is 3, but scale at the top level is 2"),
    ("datasets: {train: {meta_info_file: a.txt}}", "datasets.train.meta_info_file: not read here"),
    ("datasets: {val: {mean: [0.5, 0.5, 0.5]}}", "datasets.val.mean: the networks normalise by themselves"),
    ("train: {perceptual_opt: {type: PerceptualLoss}}", "train.perceptual_opt: needs whole images"),
]


def merge(base: dict, change: dict) -> None:
    for key, value in change.items():
        if isinstance(value, dict) and isinstance(base.get(key), dict):
            merge(base[key], value)
        else:
            base[key] = value


@pytest.mark.parametrize(("text", "message"), CONTRADICTIONS, ids=[text for text, _ in CONTRADICTIONS])
def test_contradictory_basicsr_options_are_refused(given, text, message):
    merge(given, yaml.safe_load(textwrap.dedent(text)))
    with pytest.raises(UserError) as caught:
        translate(given)
    assert str(caught.value).startswith(message)


def test_all_contradictions_are_reported_at_once(given):
    for text, _ in CONTRADICTIONS[3:]:
        merge(given, yaml.safe_load(text))
    with pytest.raises(UserError) as caught:
        translate(given)
    assert len(caught.value.problems) == 4  # without a scale there is no other to contradict


@pytest.mark.parametrize("metrics", [{"crop_border": 2}, {"crop_border": 3, "test_y_channel": True}, {}])
def test_metrics_that_match_no_protocol_require_one(given, metrics):
    given["val"]["metrics"] = {"psnr": {"type": "calculate_psnr", **metrics}}
    with pytest.raises(UserError, match=r"datasets\.val\.protocol: missing"):
        check_options(given, is_train=True)


def test_rgb_metrics_with_the_wider_border_imply_div2k(given):
    given["val"]["metrics"] = {"psnr": {"type": "calculate_psnr", "crop_border": 8, "test_y_channel": False}}
    assert check_options(given, is_train=True).datasets.scored["val"].protocol == "div2k"


def test_a_set_that_is_null_is_left_out(given):
    given["datasets"]["val"] = None
    assert list(check_options(given, is_train=True).datasets.by_key) == ["train"]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, True),
        ({"model_type": "CumulativeScaleModel", "network_g": {"type": "RRDBNet"}}, True),
        ({"network_g": {"type": "RRDBNet"}}, False),
        ({"model_type": "ESRGANModel", "network_g": {"type": "RRDBNet"}, "network_d": {}}, False),
        ({"network_g": {"type": "RRDBNet"}, "_base_": "clit://_base_/stage1.yml"}, True),
        ({"network_g": None}, False),
    ],
    ids=str,
)
def test_files_for_basicsrs_own_models_are_distinguished_from_ours(given, change, expected):
    assert is_for_this_package(given | change) is expected


@pytest.mark.parametrize("given", [None, [], "text", {}, {"name": "a"}], ids=str)
def test_content_that_is_not_an_option_file_is_left_to_basicsr(given):
    assert not is_for_this_package(given)
