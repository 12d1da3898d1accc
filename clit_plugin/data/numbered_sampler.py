"""A sampler whose indices carry the epoch and the number of the sample.

A data set that knows both needs no counters, no shared memory and no global random state: a sample is a function of
(seed, epoch, number), on every rank, in every kind of worker and after a resume.
"""

import math
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from basicsr.data.data_sampler import EnlargedSampler
from torch.utils.data import Dataset


class NumberedIndex(int):
    """A data set index that carries its place in training.

    Attributes:
        epoch: Number of the epoch, from 0.
        position: Number among this rank's samples in the epoch, from 0.
        number: Number among the samples of all ranks in the epoch, from 0.
    """

    epoch: int
    position: int
    number: int

    def __new__(cls, index: int, epoch: int, position: int, number: int) -> "NumberedIndex":
        self = super().__new__(cls, index)
        self.epoch, self.position, self.number = epoch, position, number
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        return NumberedIndex, (int(self), self.epoch, self.position, self.number)


class BatchPlace(NamedTuple):
    """Where a batch stands in training.

    Attributes:
        epoch: Number of the epoch, from 0.
        batch: Number of the batch among this rank's in the epoch, from 0.
        numbers: Number of each sample among those of all ranks in the epoch, from 0.
    """

    epoch: int
    batch: int
    numbers: list[int]


def batch_place(indices: Sequence[int]) -> BatchPlace:
    """Where the batch of these indices stands.

    Plain integers, as other samplers yield them, count as the first epoch in order.
    """
    first = indices[0]
    if isinstance(first, NumberedIndex):
        numbers = [index.number for index in indices if isinstance(index, NumberedIndex)]
        return BatchPlace(first.epoch, first.position // len(indices), numbers)
    return BatchPlace(0, first // len(indices), [int(index) for index in indices])


class NumberedSampler(EnlargedSampler):
    """BasicSR's ``EnlargedSampler``, in the same order, yielding ``NumberedIndex``.

    If the data set has a ``batch_size``, epochs are padded to whole batches: BasicSR counts the last, partial batch
    but drops it, and so ends training before ``total_iter``. If it has a ``resume_iter``, the batches before it are
    skipped.
    """

    def __init__(self, dataset: Dataset, num_replicas: int, rank: int, ratio: int = 1) -> None:
        super().__init__(dataset, num_replicas, rank, ratio)
        self.batch_size = getattr(dataset, "batch_size", None) or 1
        self.resume_iter = getattr(dataset, "resume_iter", None) or 0
        self.num_samples: int = math.ceil(len(self) / self.batch_size) * self.batch_size
        self.total_size = self.num_samples * self.num_replicas

    def __iter__(self) -> Iterator[NumberedIndex]:
        batches_done = self.resume_iter - self.epoch * (self.num_samples // self.batch_size)
        first = max(batches_done, 0) * self.batch_size
        for position, index in enumerate(super().__iter__()):
            if position >= first:
                yield NumberedIndex(index, self.epoch, position, position * self.num_replicas + self.rank)
