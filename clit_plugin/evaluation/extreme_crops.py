"""Pictures of a tested set's worst and best image, kept for the report while the set is scored."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from torch import Tensor
from torch.nn import functional

from clit_plugin.data.image_io import encode_png
from clit_plugin.evaluation.result_files import crop_file
from clit_plugin.evaluation.results import ImageScore
from clit_plugin.ops.crops import worst_crop
from clit_plugin.ops.pixels import to_samples
from clit_plugin.utils.atomic_files import write_bytes
from clit_plugin.utils.panels import Panel, compose

_ZOOM = 3


class ExtremeCrops:
    """Pictures of the images with the lowest and the highest PSNR so far.

    Args:
        folder: Where they are stored, one file each; those of an interrupted test are found again.
        metric: The metric that decides.
    """

    def __init__(self, folder: Path, metric: str) -> None:
        self.folder, self.metric = folder, metric

    def consider(self, scores: Sequence[ImageScore], *, lq: Tensor, sr: Tensor, gt: Tensor) -> None:
        """Draw the last image of ``scores`` if it is the worst or the best of them.

        Args:
            scores: Of all images that this process has scored.
            lq: (1, 3, h, w) in [0, 1].
            sr: (1, 3, H, W), not clamped.
            gt: (1, 3, H, W) in [0, 1].
        """
        name = scores[-1].name
        if name in self._extremes(scores):
            write_bytes(crop_file(self.folder, name), encode_png(_picture(lq, sr, gt)))

    def finish(self, scores: Sequence[ImageScore]) -> None:
        """Remove all but the worst and the best of a set's images."""
        kept = {crop_file(self.folder, name) for name in self._extremes(scores)}
        for file in self.folder.glob("*.png"):
            if file not in kept:
                file.unlink(missing_ok=True)

    def _extremes(self, scores: Sequence[ImageScore]) -> set[str]:
        ordered = sorted(scores, key=lambda image: (image.metrics[self.metric], image.name))
        return {ordered[0].name, ordered[-1].name}


def _picture(lq: Tensor, sr: Tensor, gt: Tensor) -> np.ndarray:
    """HR, ours and the bicubic LR image where ours differs most from HR, each pixel ``_ZOOM`` times."""
    size = (gt.shape[-2], gt.shape[-1])
    bicubic = functional.interpolate(lq, size, mode="bicubic", align_corners=False)
    hr, ours, plain = (image[0].float().clamp(0, 1).cpu() for image in (gt, sr, bicubic))
    crop = worst_crop(hr, ours)
    panels = [
        Panel(crop.of(to_samples(image)), caption, zoom=_ZOOM)
        for image, caption in ((hr, "HR"), (ours, "this run"), (plain, "bicubic"))
    ]
    return compose([panels], f"the {crop.width}x{crop.height} pixels of the largest error, at {crop.x},{crop.y}")
