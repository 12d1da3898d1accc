"""The data set: sampled queries for training, whole images at one scale for validation."""

import hashlib
import math
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

import cv2
import numpy as np
import torch
from basicsr.utils.registry import DATASET_REGISTRY
from torch import Tensor
from torch.utils.data import Dataset, get_worker_info

from clit_plugin.data.dataset_options import TrainSetOptions, ValSetOptions, parse_set
from clit_plugin.data.image_source import ImageSource
from clit_plugin.data.numbered_sampler import NumberedIndex
from clit_plugin.data.query_sampling import augment, sample_from_hr, sample_from_pair
from clit_plugin.data.realistic_degradation import Degradation, draw_degradation, make_lr
from clit_plugin.data.realistic_options import RealisticOptions
from clit_plugin.data.scale_reach import ScaleReach
from clit_plugin.data.scale_schedule import clip_scales, schedule
from clit_plugin.metrics.protocol import Protocol
from clit_plugin.ops.sizes import scale_label
from clit_plugin.utils.errors import UserError
from clit_plugin.utils.path_names import check_written_names
from clit_plugin.utils.signals import leave_signals_to_trainer


@DATASET_REGISTRY.register()
class ArbitraryScalePairedDataset(Dataset):
    """LR and HR at any scale, from HR alone or from given pairs; folders and LMDB.

    In training (``phase: train``) a sample is

    - ``lq`` (3, n, n), RGB in [0, 1]; ``gt`` (Q, 3), colours of the sampled HR pixels;
    - ``coord`` (Q, 2) and ``cell`` (2,), as ``forward`` of an architecture takes them;
    - ``stage_sizes`` (k, 2), the feature grids between the k + 1 branches that this batch trains;
    - ``epoch``, from 0.

    In validation it is ``lq`` (3, h, w), ``gt`` (3, H, W), ``scale`` (2,) and the image's ``name``. LR made from HR has
    h = floor(H / scale), and HR is cropped to round(h scale). Both have ``lq_path`` and ``gt_path``.

    A realistic degradation is drawn anew for every sample, from seed, epoch and number alone; in validation once for
    every image, from seed and name.

    Args:
        opt: See ``TrainSetOptions`` and ``ValSetOptions``. It is not changed.

    Raises:
        UserError: Bad options, missing data, images that do not pair up, or that are too small for the crop or x1.2.
    """

    def __init__(self, opt: Mapping[str, Any]) -> None:
        self.opt = opt
        self.options = parse_set(opt, f"datasets.{opt.get('name', opt.get('phase'))}")
        self.gt = ImageSource(self.options.dataroot_gt, self.options.io_backend, strict=self.options.strict)
        self.lq = None
        if self.options.dataroot_lq is not None:
            self.lq = ImageSource(self.options.dataroot_lq, self.options.io_backend, strict=self.options.strict)
        self.realistic = None
        if isinstance(self.options.degradation, Mapping):
            self.realistic = RealisticOptions(**self.options.degradation)
        self.names = list(self.gt.sizes)
        if isinstance(self.options, ValSetOptions):
            self.names = self.names[: self.options.max_images]
        else:
            if self.options.skip_images >= len(self.names):
                raise UserError(
                    f"{self.options.dataroot_gt}: skip_images leaves none of {len(self.names)} images, "
                    f"got {self.options.skip_images}"
                )
            self.names = self.names[self.options.skip_images :]
            # What the sampler asks for.
            self.batch_size, self.resume_iter = self.options.batch_size_per_gpu, self.options.resume_iter
            self.scale_ranges = self.options.ranges
        self._check_pairs()
        self._check_crop()
        if self.reach is not None:
            self.reach.check()
        if self.options.cache:
            self.gt.fill_cache(self.names)
            if self.lq is not None:
                self.lq.fill_cache(self.lq_names)

    def __len__(self) -> int:
        return len(self.names)

    @property
    def protocol(self) -> Protocol | None:
        """How a validation set is scored; nothing for a training set."""
        return Protocol.named(self.options.protocol) if isinstance(self.options, ValSetOptions) else None

    @property
    def reach(self) -> ScaleReach | None:
        """The scales that the images allow; nothing for validation, and for given pairs, whose scales are theirs."""
        if not isinstance(self.options, TrainSetOptions) or self.lq is not None:
            return None
        sizes = {self.gt.describe(name): size for name, size in self.gt.sizes.items()}
        most = max(math.prod(high for _, high in alternative) for alternative in self.scale_ranges)
        return ScaleReach(sizes, lq_size=self.options.lq_size, most=most)

    @property
    def lq_names(self) -> list[str]:
        """Keys of the given LR images, in the order of ``names``."""
        return [self._lq_name(name) for name in self.names]

    def __getitem__(self, index: int) -> dict[str, Any]:
        return self.__getitems__([index])[0]

    def __getitems__(self, indices: Sequence[int]) -> list[dict[str, Any]]:
        """A batch; PyTorch's loader asks for it as a whole, and so the batch can have one list of scales."""
        if isinstance(self.options, ValSetOptions):
            return [self._validation_item(self.names[index], self.options) for index in indices]
        if get_worker_info() is not None:
            leave_signals_to_trainer()
            cv2.setNumThreads(0)  # the workers are the threads
        return self._training_batch(indices, self.options)

    def _training_batch(self, indices: Sequence[int], options: TrainSetOptions) -> list[dict[str, Any]]:
        epoch, batch_index, numbers = _place(indices)
        names = [self.names[index] for index in indices]
        scales = schedule(self.scale_ranges, seed=options.seed, epoch=epoch, batch_index=batch_index)
        limit = min(self._scale_limit(name, options.lq_size) for name in names)
        if self.lq is None:
            scales = clip_scales(scales, limit)
            scale, between = math.prod(scales), np.cumprod(scales[:-1])
        else:  # a real pair's scale is given; its last branch does what the others leave
            scale, between = limit, np.cumprod(clip_scales(scales[:-1], limit))
        stages = torch.tensor([[round(options.lq_size * f)] * 2 for f in between], dtype=torch.long).view(-1, 2)
        batch = []
        for name, number in zip(names, numbers, strict=True):
            rng = np.random.default_rng((options.seed, epoch, number, 1))
            if self.lq is None:
                sample = sample_from_hr(
                    self.gt.read(name),
                    lq_size=options.lq_size,
                    scale=scale,
                    num_queries=options.queries,
                    degradation=self._degradation(options.seed, epoch, number, 2),
                    rng=rng,
                )
            else:
                sample = sample_from_pair(
                    self.lq.read(self._lq_name(name)),
                    self.gt.read(name),
                    lq_size=options.lq_size,
                    num_queries=options.queries,
                    rng=rng,
                )
            sample = augment(sample, hflip=options.use_hflip, vflip=options.use_vflip, rot=options.use_rot, rng=rng)
            batch.append(
                {
                    "lq": _image_tensor(sample.lq),
                    "gt": torch.from_numpy(sample.gt.astype(np.float32) / 255.0),
                    "coord": torch.from_numpy(sample.coord.astype(np.float32)),
                    "cell": torch.from_numpy(sample.cell.astype(np.float32)),
                    "stage_sizes": stages,
                    "epoch": epoch,
                    "gt_path": self.gt.describe(name),
                    "lq_path": self.gt.describe(name) if self.lq is None else self.lq.describe(self._lq_name(name)),
                }
            )
        return batch

    def _validation_item(self, name: str, options: ValSetOptions) -> dict[str, Any]:
        (h, w), (height, width), scales = self._validation_sizes(name, options)
        gt = self.gt.read(name)[:height, :width]
        if self.lq is None:
            digest = hashlib.sha256(name.encode()).digest()  # the same in every process, unlike hash()
            lq = make_lr(gt, (h, w), self._degradation(int.from_bytes(digest, "big")))
        else:
            lq = self.lq.read(self._lq_name(name))
        return {
            "lq": _image_tensor(lq),
            "gt": _image_tensor(gt),
            "name": name,
            "scale": torch.tensor(scales, dtype=torch.float64),
            "lq_path": self._given_name(name, options),
            "gt_path": self.gt.describe(name),
        }

    def _degradation(self, *entropy: int) -> str | Degradation:
        """How LR is made from HR; what is random about it is drawn from a generator of this entropy."""
        if self.realistic is None:
            return str(self.options.degradation)
        return draw_degradation(self.realistic, np.random.default_rng((*entropy, self.realistic.seed)))

    def _validation_sizes(
        self, name: str, options: ValSetOptions
    ) -> tuple[tuple[int, int], tuple[int, int], tuple[float, float]]:
        """LR size, HR size and scales: HR is cropped to the LR size times the scale, rounded half to even (LIIF)."""
        height, width = self.gt.sizes[name]
        if self.lq is None:
            scales = options.scales or (1.0, 1.0)  # given, as there are no LR files
            h, w = int(height / scales[0] + 1e-9), int(width / scales[1] + 1e-9)
        else:
            h, w = self.lq.sizes[self._lq_name(name)]
            scales = options.scales or (height / h, width / w)
        return (h, w), (min(height, round(h * scales[0])), min(width, round(w * scales[1]))), scales

    def check_cache(self) -> None:
        """Raise UserError where the images are more than the memory that is left, as ``ImageSource.check_cache``."""
        self.gt.check_cache(self.names)
        if self.lq is not None:
            self.lq.check_cache(self.lq_names)

    def check_scorable(self, least: int) -> None:
        """Refuse a validation image of which the protocol's border leaves too little, by name.

        Args:
            least: Pixels that must be left, high and wide.

        Raises:
            UserError: Fewer are left.
        """
        if not isinstance(self.options, ValSetOptions) or self.protocol is None:
            return
        for name in self.names:
            _, size, scales = self._validation_sizes(name, self.options)
            shave = self.protocol.shave(max(scales))
            if min(size) - 2 * shave < least:
                raise UserError(
                    f"{self.gt.describe(name)}: {size[1]}x{size[0]} at x{max(scales):g} is too small for the protocol "
                    f"{self.protocol.name}: {shave} pixels are cut from each border, and {least} must be left"
                )

    def check_result_names(self, ending: str) -> None:
        """Refuse validation images whose results, ``IMAGE_ENDING.png``, could not all be written.

        Raises:
            UserError: As ``check_written_names``.
        """
        if isinstance(self.options, ValSetOptions):
            stems = ((self._given_name(name, self.options).removesuffix(".png"), name) for name in self.names)
            named = ((stem, self.gt.describe(name)) for stem, name in stems)
            check_written_names(named, f"_{ending}.png", "val.save_img")

    def _given_name(self, name: str, options: ValSetOptions) -> str:
        """The LR file's name, or the one it would have, as DIV2K's 0801x2.png; BasicSR names results after it."""
        if self.lq is not None:
            return f"{self._lq_name(name).replace('/', '_')}.png"
        return f"{name.replace('/', '_')}x{scale_label(options.scales or 1.0)}.png"

    def _lq_name(self, name: str) -> str:
        path = PurePosixPath(name)
        return str(path.with_name(self.options.filename_tmpl.replace("{}", path.name)))

    def _scale_limit(self, name: str, lq_size: int) -> float:
        """The largest total scale for which an image is large enough."""
        if self.lq is None:
            return min(self.gt.sizes[name]) / lq_size
        return min(np.divide(self.gt.sizes[name], self.lq.sizes[self._lq_name(name)]))

    def _check_pairs(self) -> None:
        """Every HR image has an LR image, of a size that fits the scale."""
        if self.lq is None:
            return
        scales = self.options.scales if isinstance(self.options, ValSetOptions) else None
        for name in self.names:
            lq_name = self._lq_name(name)
            if lq_name not in self.lq.sizes:
                raise UserError(
                    f"{self.gt.describe(name)}: no LR image named {lq_name} in {self.lq.root}; "
                    f"check filename_tmpl ({self.options.filename_tmpl!r})"
                )
            gt_size, lq_size = self.gt.sizes[name], self.lq.sizes[lq_name]
            expected = scales or tuple(g / small for g, small in zip(gt_size, lq_size, strict=True))
            fits = (
                scale >= 1 and round(small * scale) <= g < (small + 1) * scale + 1
                for g, small, scale in zip(gt_size, lq_size, expected, strict=True)
            )
            if not all(fits):
                told = f"over scale {scales[0]:g}, {scales[1]:g}" if scales else "or smaller"
                raise UserError(f"{self.lq.describe(lq_name)}: is {lq_size}, not its HR image's {gt_size} {told}")

    def _check_crop(self) -> None:
        """Every image is large enough for a crop, or for one LR pixel."""
        options, source = self.options, self.gt if self.lq is None else self.lq
        if isinstance(options, TrainSetOptions):
            least, key = (float(options.lq_size), float(options.lq_size)), "lq_size"
        else:
            least, key = (options.scales if self.lq is None else None) or (1.0, 1.0), "scale"
        for name in self.names if self.lq is None else self.lq_names:
            size = source.sizes[name]
            if size[0] + 1e-9 < least[0] or size[1] + 1e-9 < least[1]:
                raise UserError(
                    f"{source.describe(name)}: {size[1]}x{size[0]} is smaller than the crop of "
                    f"{least[1]:g}x{least[0]:g}; remove the image or choose a smaller {key}"
                )


def _place(indices: Sequence[int]) -> tuple[int, int, list[int]]:
    """Epoch, number of the batch, and numbers of the samples.

    Bare indices, of a sampler that is not ours, are taken for those of the first epoch in order.
    """
    first = indices[0]
    if isinstance(first, NumberedIndex):
        numbers = [index.number for index in indices if isinstance(index, NumberedIndex)]
        return first.epoch, first.position // len(indices), numbers
    return 0, first // len(indices), [int(index) for index in indices]


def _image_tensor(image: np.ndarray) -> Tensor:
    """(H, W, 3) uint8 to (3, H, W) float in [0, 1]."""
    return torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1)).astype(np.float32) / 255.0)
