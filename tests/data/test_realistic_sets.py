"""Data sets whose LR is degraded realistically."""

import random

import numpy as np
import pytest
import torch
from dataset_helpers import TENSORS, assert_same, batches_of, train_set, val_options, val_set

from clit_plugin.data.dataset_options import parse_val_set
from clit_plugin.data.lmdb_files.prepare import prepare_lmdb

REALISTIC = {"type": "realistic"}


def test_realistic_lr_changes_neither_crops_nor_queries_nor_flips(hr):
    for pil, realistic in zip(
        batches_of(train_set(hr), ratio=4), batches_of(train_set(hr, degradation=REALISTIC), ratio=4), strict=True
    ):
        assert all(torch.equal(pil[key], realistic[key]) for key in TENSORS[1:])
        assert not torch.equal(pil["lq"], realistic["lq"])
        assert (realistic["lq"] * 255).round().div(255).equal(realistic["lq"])


@pytest.mark.parametrize("workers", [1, 2])
def test_realistic_samples_do_not_depend_on_the_number_of_workers(hr, workers):
    dataset = train_set(hr, degradation=REALISTIC)
    alone = batches_of(dataset, epochs=(0, 1), ratio=2)
    assert_same(batches_of(dataset, epochs=(0, 1), ratio=2, num_workers=workers), alone)
    assert not torch.equal(alone[0]["lq"], alone[5]["lq"])


def test_realistic_samples_continue_after_a_resume(hr):
    whole = batches_of(train_set(hr, degradation=REALISTIC), epochs=(0, 1), ratio=2)
    np.random.seed(9)
    random.seed(9)
    resumed = batches_of(train_set(hr, degradation=REALISTIC, resume_iter=3), ratio=2)
    assert_same(resumed, whole[3:5])


def test_realistic_samples_do_not_change_global_random_state(hr):
    torch.manual_seed(0)
    dataset = train_set(hr, degradation=REALISTIC)
    numpy_state, python_state, torch_state = np.random.get_state(), random.getstate(), torch.get_rng_state()
    dataset.__getitems__(list(range(5)))
    val_set(hr, scale=2, degradation=REALISTIC)[0]
    assert all(np.array_equal(one, other) for one, other in zip(np.random.get_state(), numpy_state, strict=True))
    assert random.getstate() == python_state and torch.equal(torch.get_rng_state(), torch_state)


def test_the_seeds_of_set_and_degradation_both_change_the_lr(hr):
    items = [
        train_set(hr, scale_ranges=[[[2, 2]]], **changes)[0]
        for changes in ({"degradation": REALISTIC}, {"degradation": {**REALISTIC, "seed": 1}})
    ]
    assert torch.equal(items[0]["gt"], items[1]["gt"])
    assert not torch.equal(items[0]["lq"], items[1]["lq"])
    other = train_set(hr, scale_ranges=[[[2, 2]]], degradation=REALISTIC, seed=1)[0]
    assert not torch.equal(items[0]["lq"], other["lq"])


def test_a_realistic_sample_without_steps_equals_a_bicubic_one(hr):
    same = {**REALISTIC, "clean_prob": 1}
    for key in TENSORS:
        assert torch.equal(train_set(hr)[0][key], train_set(hr, degradation=same)[0][key])
    for scale in (2.3, [2, 3.5]):
        assert torch.equal(val_set(hr, scale=scale)[0]["lq"], val_set(hr, scale=scale, degradation=same)[0]["lq"])


@pytest.mark.parametrize("scale", [2.3, [2, 3.5]])
def test_a_validation_image_is_degraded_by_seed_and_name_alone(hr, scale, tmp_path):
    always = {**REALISTIC, "clean_prob": 0}
    dataset = val_set(hr, scale=scale, degradation=always)
    first = dataset[1]
    assert torch.equal(dataset[1]["lq"], first["lq"])
    plain = val_set(hr, scale=scale)[1]
    assert torch.equal(first["gt"], plain["gt"]) and first["lq"].shape == plain["lq"].shape
    assert not torch.equal(first["lq"], plain["lq"])
    other = val_set(hr, scale=scale, degradation={**always, "seed": 1})[1]
    assert not torch.equal(other["lq"], first["lq"])
    prepare_lmdb(folder=hr, output=tmp_path / "hr.lmdb", workers=1)
    assert torch.equal(val_set(tmp_path / "hr.lmdb", scale=scale, degradation=always)[1]["lq"], first["lq"])
    (hr / "0001.png").unlink()  # now it is the first
    assert torch.equal(val_set(hr, scale=scale, degradation=always)[0]["lq"], first["lq"])
    (hr / "0002.png").rename(hr / "0009.png")
    assert not torch.equal(val_set(hr, scale=scale, degradation=always)[-1]["lq"], first["lq"])


def test_the_options_hold_a_realistic_degradation_with_its_defaults(hr):
    options = val_options(hr, scale=2, degradation={**REALISTIC, "jpeg_range": [80, 90]})
    degradation = parse_val_set(options, "datasets.val").degradation
    assert degradation["jpeg_range"] == [80, 90] and degradation["blur_sigma"] == [0.2, 0.8]
    assert degradation["seed"] == 0
