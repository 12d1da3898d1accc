"""Training batches: sampled queries, one list of scales per batch."""

import math
from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
import torch
from torch.utils.data import get_worker_info

from clit_plugin.data.dataset_options import TrainSetOptions
from clit_plugin.data.image_pairs import ImagePairs
from clit_plugin.data.numbered_sampler import batch_place
from clit_plugin.data.query_sampling import Sample, augment, sample_from_hr, sample_from_pair
from clit_plugin.data.scale_reach import ScaleReach
from clit_plugin.data.scale_schedule import clip_scales, schedule
from clit_plugin.ops.pixels import to_floats, to_tensor
from clit_plugin.ops.stages import cascade_sizes
from clit_plugin.utils.errors import UserError
from clit_plugin.utils.signals import leave_signals_to_trainer

# The last entry of a seed (seed, epoch, number, stream); the schedule's stream is 0.
_CROP_STREAM, _DEGRADATION_STREAM = 1, 2


class TrainingSet:
    """Samples as ``ArbitraryScalePairedDataset`` documents them.

    Args:
        options: Of the set.

    Attributes:
        pairs: The images.
        reach: The scales that the images allow; None for given pairs, which have their own.

    Raises:
        UserError: Missing images, images that do not pair up, or that are too small for the crop or x1.2.
    """

    def __init__(self, options: TrainSetOptions) -> None:
        self.options, self.ranges = options, options.ranges
        self.pairs = ImagePairs(options, slice(options.skip_images, None))
        if not self.pairs.names:
            raise UserError(
                f"{options.dataroot_gt}: skip_images is {options.skip_images}, which leaves none of "
                f"{len(self.pairs.gt.sizes)} images"
            )
        self.pairs.check_given()
        self.pairs.check_smallest((options.lq_size, options.lq_size), "lq_size")
        self.reach: ScaleReach | None = None
        if self.pairs.lq is None:
            sizes = {self.pairs.gt.describe(name): size for name, size in self.pairs.gt.sizes.items()}
            max_scale = max(math.prod(high for _, high in alternative) for alternative in self.ranges)
            self.reach = ScaleReach(sizes, lq_size=options.lq_size, max_scale=max_scale)
            self.reach.check()
        if options.cache:
            self.pairs.fill_cache()

    def __getitems__(self, indices: Sequence[int]) -> list[dict[str, Any]]:
        """The batch of these indices, ``NumberedIndex`` or plain; it is a function of options and indices alone."""
        if get_worker_info() is not None:
            leave_signals_to_trainer()
            cv2.setNumThreads(0)  # the workers are the threads
        options, place = self.options, batch_place(indices)
        names = [self.pairs.names[index] for index in indices]
        scales = schedule(self.ranges, seed=options.seed, epoch=place.epoch, batch_index=place.batch)
        scales = self._allowed(scales, names)
        grids = cascade_sizes((options.lq_size, options.lq_size), scales[:-1])
        stage_sizes = torch.tensor(grids, dtype=torch.long).view(-1, 2)
        return [
            {
                **_tensors(self._sample(name, math.prod(scales), place.epoch, number)),
                "stage_sizes": stage_sizes,
                "epoch": place.epoch,
                **self._paths(name),
            }
            for name, number in zip(names, place.numbers, strict=True)
        ]

    def _allowed(self, scales: Sequence[float], names: Sequence[str]) -> tuple[float, ...]:
        """The scales, clipped to what every one of these images allows (paper 4.1).

        A given pair's total scale is fixed: the last branch does whatever the others leave.
        """
        if self.pairs.lq is None:
            limit = min(min(self.pairs.gt.sizes[name]) / self.options.lq_size for name in names)
            return clip_scales(scales, limit)
        limit = min(min(self.pairs.ratio(name)) for name in names)
        return *clip_scales(scales[:-1], limit), scales[-1]

    def _sample(self, name: str, scale: float, epoch: int, number: int) -> Sample:
        """Crop, queries and augmentation; ``scale`` applies only where LR is made from HR."""
        options, pairs = self.options, self.pairs
        rng = np.random.default_rng((options.seed, epoch, number, _CROP_STREAM))
        if pairs.lq is None:
            sample = sample_from_hr(
                pairs.gt.read(name),
                lq_size=options.lq_size,
                scale=scale,
                num_queries=options.queries,
                degradation=pairs.degradation(options.seed, epoch, number, _DEGRADATION_STREAM),
                rng=rng,
            )
        else:
            sample = sample_from_pair(
                pairs.lq.read(pairs.lq_name(name)),
                pairs.gt.read(name),
                lq_size=options.lq_size,
                num_queries=options.queries,
                rng=rng,
            )
        return augment(sample, hflip=options.use_hflip, vflip=options.use_vflip, rot=options.use_rot, rng=rng)

    def _paths(self, name: str) -> dict[str, str]:
        gt, lq = self.pairs.gt, self.pairs.lq
        lq_path = gt.describe(name) if lq is None else lq.describe(self.pairs.lq_name(name))
        return {"gt_path": gt.describe(name), "lq_path": lq_path}


def _tensors(sample: Sample) -> dict[str, torch.Tensor]:
    return {
        "lq": to_tensor(sample.lq),
        "gt": to_floats(sample.gt),
        "coord": torch.from_numpy(sample.coord.astype(np.float32)),
        "cell": torch.from_numpy(sample.cell.astype(np.float32)),
    }
