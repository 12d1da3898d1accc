"""Pictures of a tested set's worst and best image, kept while the set is scored, for the report."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor
from torch.nn import functional

from clit_plugin.data.image_io import encode_png
from clit_plugin.evaluation.results import crop_file
from clit_plugin.ops.crops import worst_crop
from clit_plugin.ops.pixels import to_samples
from clit_plugin.utils.atomic_files import write_bytes
from clit_plugin.utils.panels import Panel, compose

_ZOOM = 3


class ExtremeCrops:
    """Pictures of the images with the lowest and the highest PSNR so far.

    Args:
        folder: Where they are, one a picture; pictures of an interrupted test are found again.
        metric: By which images are compared.
    """

    def __init__(self, folder: Path, metric: str) -> None:
        self.folder, self.metric = folder, metric

    def consider(
        self, scores: Sequence[Mapping[str, Any]], image: Mapping[str, Any], *, lq: Tensor, sr: Tensor, gt: Tensor
    ) -> None:
        """Draw ``image`` if it is the worst or the best of ``scores``, which it is one of.

        Args:
            scores: Of all images that this process has scored.
            image: The newest.
            lq: (1, 3, h, w) in [0, 1].
            sr: (1, 3, H, W), not clamped.
            gt: (1, 3, H, W) in [0, 1].
        """
        if image["image"] in _extremes(scores, self.metric):
            write_bytes(crop_file(self.folder, image["image"]), encode_png(_picture(lq, sr, gt)))

    def finish(self, images: Sequence[Mapping[str, Any]]) -> None:
        """Remove all but the worst and the best of ``images``."""
        kept = {crop_file(self.folder, name) for name in _extremes(images, self.metric)}
        for file in self.folder.glob("*.png"):
            if file not in kept:
                file.unlink(missing_ok=True)


def _extremes(images: Sequence[Mapping[str, Any]], metric: str) -> set[str]:
    ordered = sorted(images, key=lambda image: (image["metrics"][metric], image["image"]))
    return {ordered[0]["image"], ordered[-1]["image"]}


def _picture(lq: Tensor, sr: Tensor, gt: Tensor) -> np.ndarray:
    """HR, ours and the bicubic LR image where ours is farthest from HR, each pixel ``_ZOOM`` times."""
    size = (gt.shape[-2], gt.shape[-1])
    bicubic = functional.interpolate(lq, size, mode="bicubic", align_corners=False)
    hr, ours, plain = (image[0].float().clamp(0, 1).cpu() for image in (gt, sr, bicubic))
    crop = worst_crop(hr, ours)
    panels = [
        Panel(crop.of(to_samples(image)), caption, zoom=_ZOOM)
        for image, caption in ((hr, "HR"), (ours, "this run"), (plain, "bicubic"))
    ]
    return compose([panels], f"the {crop.width}x{crop.height} pixels of the largest error, at {crop.x},{crop.y}")
