"""Training batches depend on seed, epoch and sample number alone: in any process, on any rank, after a resume."""

import copy
import logging

import numpy as np
import pytest
import torch
from basicsr.train import create_train_val_dataloader
from dataset_helpers import (
    TENSORS,
    TWO_BRANCHES,
    assert_same,
    batches_of,
    total_scale,
    train_options,
    train_set,
    val_options,
)

from clit_plugin.data.lmdb_files.prepare import prepare_lmdb
from clit_plugin.data.numbered_sampler import NumberedIndex


def test_samples_repeat_within_an_epoch_number_and_differ_between_epochs(hr):
    dataset = train_set(hr)
    first, again, second = (batches_of(dataset, epochs=(epoch,)) for epoch in (0, 0, 1))
    assert_same(first, again)
    for batch, other in zip(first, second, strict=True):
        assert not torch.equal(batch["lq"], other["lq"])
        assert total_scale(batch) != total_scale(other)


def test_another_seed_gives_other_samples(hr):
    first, second = (batches_of(train_set(hr, seed=seed)) for seed in (0, 1))
    assert not any(torch.equal(a["lq"], b["lq"]) for a, b in zip(first, second, strict=True))


def test_samples_do_not_depend_on_global_random_state(hr):
    dataset = train_set(hr)
    first = batches_of(dataset)
    np.random.seed(7)
    torch.manual_seed(7)
    assert_same(first, batches_of(dataset))


def test_plain_indices_are_treated_as_the_first_epochs(hr):
    dataset = train_set(hr)
    numbered = dataset.__getitems__([NumberedIndex(2, 0, 2, 2), NumberedIndex(3, 0, 3, 3)])
    for item, other in zip(dataset.__getitems__([2, 3]), numbered, strict=True):
        assert all(torch.equal(item[key], other[key]) for key in TENSORS)


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("persistent", [False, True])
def test_forked_workers_give_the_same_batches(hr, tmp_path, workers, persistent):
    prepare_lmdb(folder=hr, output=tmp_path / "hr.lmdb", workers=1)
    dataset = train_set(tmp_path / "hr.lmdb", scale_ranges=TWO_BRANCHES)
    alone = batches_of(dataset, epochs=(0, 1))  # which opens the LMDB in this process
    assert_same(
        batches_of(
            dataset,
            epochs=(0, 1),
            num_workers=workers,
            persistent_workers=persistent,
            multiprocessing_context="fork",
        ),
        alone,
    )


def test_spawned_workers_give_the_same_batches(hr, tmp_path):
    prepare_lmdb(folder=hr, output=tmp_path / "hr.lmdb", workers=1)
    dataset = train_set(tmp_path / "hr.lmdb", scale_ranges=TWO_BRANCHES)
    spawned = batches_of(
        dataset, epochs=(0, 1), num_workers=2, persistent_workers=True, multiprocessing_context="spawn"
    )
    assert_same(spawned, batches_of(dataset, epochs=(0, 1)))


def test_folder_lmdb_and_cache_give_the_same_batches(hr, tmp_path):
    prepare_lmdb(folder=hr, output=tmp_path / "hr.lmdb", workers=1)
    expected = batches_of(train_set(hr))
    for dataset in (train_set(tmp_path / "hr.lmdb"), train_set(hr, cache=True)):
        for batch, other in zip(batches_of(dataset), expected, strict=True):
            assert all(torch.equal(batch[key], other[key]) for key in TENSORS)


def test_ranks_draw_the_same_scales_and_different_samples(hr):
    dataset = train_set(hr, scale_ranges=TWO_BRANCHES)
    first, second = (batches_of(dataset, rank=rank, replicas=2, ratio=4, epochs=(3,)) for rank in (0, 1))
    assert len(first) == len(second) == 5
    for batch, other in zip(first, second, strict=True):
        assert torch.equal(batch["cell"], other["cell"])
        assert torch.equal(batch["stage_sizes"], other["stage_sizes"])
        assert not torch.equal(batch["lq"], other["lq"])


def test_two_ranks_together_draw_the_batch_of_one_process(hr):
    ranks = [batches_of(train_set(hr), rank=rank, replicas=2, ratio=4) for rank in (0, 1)]
    together = batches_of(train_set(hr, batch_size_per_gpu=4), ratio=4)
    for first, second, both in zip(*ranks, together, strict=True):
        samples = {image.numpy().tobytes() for image in torch.cat([first["lq"], second["lq"]])}
        assert samples == {image.numpy().tobytes() for image in both["lq"]}


def test_a_resume_continues_with_the_next_batch(hr):
    whole = batches_of(train_set(hr, scale_ranges=TWO_BRANCHES), epochs=(0, 1))
    resumed = batches_of(train_set(hr, scale_ranges=TWO_BRANCHES, resume_iter=2), epochs=(0, 1))
    assert_same(resumed, whole[2:])


@pytest.mark.parametrize("workers", [0, 2])
def test_basicsrs_data_loader_builds_and_loads_the_data_set(hr, workers):
    train = train_options(hr, num_worker_per_gpu=workers, dataset_enlarge_ratio=4, scale_ranges=TWO_BRANCHES)
    options = {
        "datasets": {"train": train, "val": val_options(hr, scale=2), "val_2": val_options(hr, scale=3.4)},
        "num_gpu": 0,
        "dist": False,
        "world_size": 1,
        "rank": 0,
        "manual_seed": 5,
        "train": {"total_iter": 20},
    }
    given = copy.deepcopy(options)
    loader, sampler, val_loaders, epochs, _ = create_train_val_dataloader(options, logging.getLogger("test"))
    assert options == given
    assert epochs == 2
    sampler.set_epoch(1)
    expected = batches_of(train_set(hr, scale_ranges=TWO_BRANCHES), epochs=(1,), ratio=4)
    assert_same(list(loader), expected)
    assert [len(list(val_loader)) for val_loader in val_loaders] == [5, 5]
