"""A sampler whose indices say which sample of which epoch they are.

A dataset that knows this needs no counters, no shared memory and no global random state: what a sample looks like
follows from (seed, epoch, number), on every rank, in every kind of worker and after a resume.
"""

import math
from collections.abc import Iterator
from typing import Any

from basicsr.data.data_sampler import EnlargedSampler
from torch.utils.data import Dataset


class NumberedIndex(int):
    """A dataset index that carries its place in training.

    Attributes:
        epoch: Number of the epoch, from 0.
        position: Place among the samples of this rank in this epoch, from 0.
        number: Place among the samples of all ranks in this epoch, from 0.
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


class NumberedSampler(EnlargedSampler):
    """BasicSR's ``EnlargedSampler``, whose order it keeps, with ``NumberedIndex`` instead of bare integers.

    Where the dataset has a ``batch_size``, an epoch is filled up to whole batches (BasicSR counts the last, partial
    batch but then drops it, so that training ends before ``total_iter``); where it has a ``resume_iter``, the batches
    trained before the resume are passed over.
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
