import pickle

import basicsr.data.data_sampler
import basicsr.train
import pytest
from torch.utils.data import DataLoader

from clit_plugin.data.numbered_sampler import NumberedIndex, NumberedSampler

BasicSRSampler = NumberedSampler.__mro__[1]  # the original, whose name in BasicSR now stands for ours


class Images:
    """A data set as the sampler sees it: its length and attributes."""

    def __init__(self, length: int, **attributes) -> None:
        self.length = length
        vars(self).update(attributes)

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: NumberedIndex) -> tuple[int, int, int]:
        return int(index), index.epoch, index.number


def epoch_of(sampler, epoch: int) -> list:
    sampler.set_epoch(epoch)
    return list(sampler)


def test_basicsr_builds_this_sampler_in_place_of_its_own():
    assert BasicSRSampler.__name__ == "EnlargedSampler" and BasicSRSampler is not NumberedSampler
    assert basicsr.data.data_sampler.EnlargedSampler is NumberedSampler
    assert basicsr.train.EnlargedSampler is NumberedSampler


@pytest.mark.parametrize("epoch", [0, 1, 7])
@pytest.mark.parametrize(("replicas", "ratio"), [(1, 1), (1, 3), (2, 1), (3, 4)])
def test_the_order_of_images_is_basicsrs(epoch, replicas, ratio):
    for rank in range(replicas):
        ours = epoch_of(NumberedSampler(Images(7), replicas, rank, ratio), epoch)
        original = epoch_of(BasicSRSampler(Images(7), replicas, rank, ratio), epoch)
        assert ours == original


def test_an_epoch_of_whole_batches_equals_basicsrs():
    ours = epoch_of(NumberedSampler(Images(6, batch_size=4), 1, 0, 2), 3)
    assert ours == epoch_of(BasicSRSampler(Images(6), 1, 0, 2), 3)


def test_indices_carry_their_epoch_position_and_number():
    for rank in range(3):
        indices = epoch_of(NumberedSampler(Images(7), 3, rank, 2), 5)
        assert [index.epoch for index in indices] == [5] * 5
        assert [index.position for index in indices] == [0, 1, 2, 3, 4]
        assert [index.number for index in indices] == [rank, 3 + rank, 6 + rank, 9 + rank, 12 + rank]


@pytest.mark.parametrize(
    ("images", "ratio", "batch", "samples"), [(7, 1, 4, 8), (8, 1, 4, 8), (9, 1, 4, 12), (3, 2, 8, 8)]
)
def test_an_epoch_is_padded_to_whole_batches(images, ratio, batch, samples):
    sampler = NumberedSampler(Images(images, batch_size=batch), 1, 0, ratio)
    indices = epoch_of(sampler, 0)
    assert len(sampler) == len(indices) == samples
    assert set(indices) == set(range(images))  # every image is seen


@pytest.mark.parametrize("replicas", [2, 3])
def test_every_rank_has_the_same_number_of_whole_batches(replicas):
    for rank in range(replicas):
        sampler = NumberedSampler(Images(11, batch_size=4), replicas, rank, 2)
        assert len(epoch_of(sampler, 0)) == len(sampler)
        assert len(sampler) % 4 == 0


@pytest.mark.parametrize("epoch", [0, 4])
def test_the_batches_of_two_ranks_together_are_the_batch_of_one_process(epoch):
    def batches(replicas: int, rank: int, size: int) -> list[set]:
        sampler = NumberedSampler(Images(7, batch_size=size), replicas, rank, 4)
        indices = [(int(index), index.number) for index in epoch_of(sampler, epoch)]
        return [set(indices[i : i + size]) for i in range(0, len(indices), size)]

    first, second, together = batches(2, 0, 3), batches(2, 1, 3), batches(1, 0, 6)
    assert len(first) == len(second) == len(together) == 5
    for a, b, both in zip(first, second, together, strict=True):
        assert not a & b
        assert a | b == both


def test_another_epoch_has_another_order():
    sampler = NumberedSampler(Images(20), 1, 0)
    assert epoch_of(sampler, 0) != epoch_of(sampler, 1)
    assert epoch_of(sampler, 0) == epoch_of(sampler, 0)


@pytest.mark.parametrize(
    ("resume_iter", "left"),
    [(0, (4, 4, 4)), (1, (3, 4, 4)), (3, (1, 4, 4)), (4, (0, 4, 4)), (5, (0, 3, 4)), (9, (0, 0, 3))],
)
def test_after_a_resume_finished_batches_are_skipped(resume_iter, left):
    whole = NumberedSampler(Images(8, batch_size=2), 1, 0)
    resumed = NumberedSampler(Images(8, batch_size=2, resume_iter=resume_iter), 1, 0)
    for epoch, batches in enumerate(left):
        remaining = epoch_of(resumed, epoch)
        assert len(remaining) == 2 * batches
        expected = epoch_of(whole, epoch)[8 - 2 * batches :]
        assert [(*index.__reduce__()[1],) for index in remaining] == [(*index.__reduce__()[1],) for index in expected]


def test_after_a_resume_every_rank_continues_at_the_same_batch():
    for rank in range(2):
        sampler = NumberedSampler(Images(16, batch_size=2, resume_iter=3), 2, rank)
        assert [index.position for index in epoch_of(sampler, 0)] == [6, 7]


def test_an_index_is_an_integer_and_survives_pickling():
    index = NumberedIndex(5, epoch=3, position=7, number=15)
    copy = pickle.loads(pickle.dumps(index))
    for one in (index, copy):
        assert (one, one.epoch, one.position, one.number) == (5, 3, 7, 15)
        assert "abcdef"[one] == "f"


def test_indices_keep_their_numbers_on_the_way_to_the_workers():
    sampler = NumberedSampler(Images(6), 1, 0)
    sampler.set_epoch(2)
    loader = DataLoader(Images(6), batch_size=None, sampler=sampler, num_workers=2)
    assert [tuple(item) for item in loader] == [(int(index), 2, number) for number, index in enumerate(sampler)]
