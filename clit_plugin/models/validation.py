"""One pass over a validation or test set: what is scored, by which protocol, and the scores so far."""

import os.path
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from basicsr.utils import imwrite, tensor2img
from torch import Tensor
from torch.utils.data import DataLoader

from clit_plugin.basicsr_bridge.run_log import centre_crops
from clit_plugin.data.arbitrary_scale_paired_dataset import ArbitraryScalePairedDataset
from clit_plugin.evaluation.extreme_crops import ExtremeCrops
from clit_plugin.evaluation.result_files import settings_from_json
from clit_plugin.evaluation.results import ImageScore
from clit_plugin.evaluation.stored_sets import StoredSet
from clit_plugin.metrics.scoring import score_image
from clit_plugin.utils.console import bar
from clit_plugin.utils.distributed import from_all_ranks, from_first_rank
from clit_plugin.utils.errors import located


@dataclass(frozen=True)
class Upscaled:
    """An image and the network's output.

    Attributes:
        lq: (1, 3, h, w), RGB in [0, 1].
        sr: (1, 3, H, W), not clamped.
        gt: (1, 3, H, W), RGB in [0, 1].
        seconds: Run time of the network.
    """

    lq: Tensor
    sr: Tensor
    gt: Tensor
    seconds: float


class Validation:
    """One pass over one set. Every process takes a share of the images; ``finish`` gathers the scores.

    A test stores the scores of each image immediately, and skips images that an interrupted test has stored.

    Args:
        dataset: A data set of phase ``val`` or ``test``.
        opt: BasicSR's options of the run. In a test, ``evaluation`` holds the settings to store with each set's result.
    """

    def __init__(self, dataset: ArbitraryScalePairedDataset, opt: Mapping[str, Any]) -> None:
        assert dataset.protocol is not None  # a training set has none
        self.dataset, self.protocol = dataset, dataset.protocol
        self.name: str = dataset.opt["name"]
        self.opt = opt
        self.metrics: Mapping[str, Mapping[str, Any]] = opt["val"]["metrics"] or {}
        self.scores: list[ImageScore] = []  # of this process
        self.crops: Tensor | None = None  # of the first image, for TensorBoard
        self.stored: StoredSet | None = None
        self.extremes: ExtremeCrops | None = None
        if settings := (opt.get("evaluation") or {}).get(self.name):
            self.stored = StoredSet(opt["path"]["results_root"], settings_from_json(settings))
            psnr = next((name for name, one in self.metrics.items() if one.get("type") == "psnr_float"), None)
            self.extremes = ExtremeCrops(self.stored.crops, psnr) if psnr else None
        self.known = from_first_rank(self.stored.read_partial() if self.stored else {})

    def batches(self, *, pin_memory: bool) -> Iterator[dict[str, Any]]:
        """This process's remaining images, one per batch, with a progress bar on rank 0."""
        left = [i for i, image in enumerate(self.dataset.names) if image not in self.known]
        share = left[self.opt["rank"] :: self.opt["world_size"]]
        shown = self.opt["val"]["pbar"] and self.opt["rank"] == 0 and bool(share)
        loader = DataLoader(self.dataset, batch_size=1, sampler=share, pin_memory=pin_memory)
        yield from bar(loader, desc=f"Test {self.name}", unit="image", disable=not shown)

    def add(self, batch: Mapping[str, Any], image: Upscaled) -> None:
        """Score an image.

        Args:
            batch: A batch of ``batches``.
            image: Its image, upscaled.

        Raises:
            UserError: The image is too small for the protocol, or a file cannot be written.
        """
        name, scale = batch["name"][0], batch["scale"][0].tolist()
        with located(name):
            metrics = score_image(image.sr, image.gt, metrics=self.metrics, protocol=self.protocol, scale=max(scale))
        score = ImageScore(
            name=name,
            lq_size=(image.lq.shape[-2], image.lq.shape[-1]),
            gt_size=(image.gt.shape[-2], image.gt.shape[-1]),
            scale=(scale[0], scale[1]),
            shave=self.protocol.shave(max(scale)),
            metrics=metrics,
            seconds=round(image.seconds, 4),
        )
        self.scores.append(score)
        if self.stored is not None:
            self.stored.append(score, self.opt["rank"])
        elif self.crops is None:
            self.crops = centre_crops(image.sr, image.gt)
        if self.extremes is not None:
            self.extremes.consider(self.scores, lq=image.lq, sr=image.sr, gt=image.gt)

    def save(self, batch: Mapping[str, Any], image: Upscaled, current_iter: Any) -> None:
        """Write the upscaled image, named as by BasicSR."""
        stem = os.path.splitext(os.path.basename(batch["lq_path"][0]))[0]
        if self.opt["is_train"]:
            file = Path(stem) / f"{stem}_{current_iter}.png"
        else:
            file = Path(self.name) / f"{stem}_{self.opt['val']['suffix'] or self.opt['name']}.png"
        imwrite(tensor2img([image.sr.detach().cpu()]), str(Path(self.opt["path"]["visualization"]) / file))

    def finish(self) -> list[ImageScore]:
        """Scores of all images, in the set's order; a test stores them. Every process must call it."""
        known = dict(self.known)
        known |= {score.name: score for scores in from_all_ranks(self.scores) for score in scores}
        images = [known[name] for name in self.dataset.names]
        if self.stored is not None and self.opt["rank"] == 0:
            self.stored.finish(images)
            if self.extremes is not None:
                self.extremes.finish(images)
        return images
