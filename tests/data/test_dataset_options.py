"""Which options a data set accepts."""

import copy

import pytest
from basicsr.data import build_dataset
from dataset_helpers import train_options, train_set, val_options, val_set

from clit_plugin.data.arbitrary_scale_paired_dataset import ArbitraryScalePairedDataset
from clit_plugin.utils.errors import UserError


@pytest.mark.parametrize("make", [train_options, lambda root: val_options(root, scale=2)])
def test_basicsr_builds_the_data_set_by_name_without_changing_the_options(hr, make):
    options = make(hr)
    given = copy.deepcopy(options)
    dataset = build_dataset(options)
    assert isinstance(dataset, ArbitraryScalePairedDataset)
    assert len(dataset) == 5
    ArbitraryScalePairedDataset(options)[0]
    assert options == given


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"batch_size_per_gpu": 0}, r"datasets\.tiny\.batch_size_per_gpu: expected at least 1, got 0"),
        ({"lq_size": 0}, r"lq_size: expected at least 1"),
        ({"num_queries": 0}, r"num_queries: expected 1 to lq_size squared \(64\), got 0"),
        ({"num_queries": 65}, r"num_queries: expected 1 to lq_size squared \(64\), got 65"),
        ({"scale_ranges": [[1, 4]]}, r"datasets\.tiny\.scale_ranges: expected a list of alternatives"),
        ({"degradation": None}, r"degradation: missing; say how LR is made from HR, pil or matlab"),
        ({"degradation": "mat"}, r"degradation: expected .*matlab"),
        ({"degradation": {"type": "realistic", "jpg": 1}}, r"datasets\.tiny\.degradation\.jpg: unknown key"),
        ({"degradation": {}}, r"datasets\.tiny\.degradation\.type: missing"),
        ({"dataroot_lq": "x", "degradation": {"type": "realistic"}}, r"degradation: LR is read from dataroot_lq"),
        ({"dataroot_lq": "x", "degradation": "pil"}, r"degradation: LR is read from dataroot_lq"),
        ({"filename_tmpl": "x2"}, r"filename_tmpl: expected one '\{\}' in the name, got 'x2'"),
        ({"persistent_workers": True}, r"persistent_workers: needs num_worker_per_gpu of at least 1"),
        ({"num_worker_per_gpu": -1}, r"num_worker_per_gpu: expected at least 0"),
        ({"use_hflips": True}, r"use_hflips: unknown key; did you mean use_hflip\?"),
        ({"scale": 2}, r"scale: unknown key"),
    ],
)
def test_bad_training_options_are_named(hr, changes, message):
    with pytest.raises(UserError, match=message):
        train_set(hr, **changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({}, r"datasets\.tiny\.scale: missing; give a scale such as 2, 3\.4 or, as \[y, x\], \[2, 3\.5\], or LR"),
        ({"scale": 0.9}, r"scale: expected at least 1, or \[y, x\] of at least 1, got 0\.9"),
        ({"scale": [2, 0.9]}, r"scale: expected at least 1"),
        ({"scale": [2, 3, 4]}, r"scale: expected"),
        ({"scale": "2"}, r"scale: expected"),
        ({"scale": 2, "max_images": 0}, r"max_images: expected at least 1, got 0"),
        ({"scale": 2, "protocol": "set5"}, r"protocol: expected one of div2k, benchmark, got 'set5'"),
    ],
)
def test_bad_validation_options_are_named(hr, changes, message):
    with pytest.raises(UserError, match=message):
        val_set(hr, **changes)
