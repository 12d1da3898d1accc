"""Validation: whole images at one scale, or each given pair at its own."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch

from clit_plugin.data.dataset_options import ValSetOptions
from clit_plugin.data.image_pairs import ImagePairs
from clit_plugin.data.realistic_degradation import make_lr, name_entropy
from clit_plugin.metrics.protocol import EvaluationProtocol
from clit_plugin.ops.pixels import to_tensor
from clit_plugin.ops.sizes import Pair, Size, lr_size, scale_label, scaled_size, wxh
from clit_plugin.utils.errors import UserError
from clit_plugin.utils.path_names import check_written_names


class ImageSizes(NamedTuple):
    """LR size (h, w), size of the cropped HR (H, W), and scale (y, x)."""

    lq: Size
    gt: Size
    scales: Pair


class ValidationSet:
    """Items as ``ArbitraryScalePairedDataset`` documents them.

    Args:
        options: Of the set.

    Attributes:
        pairs: The images.
        protocol: How they are scored.

    Raises:
        UserError: Missing images, images that do not pair up, or that have no LR pixel at the scale.
    """

    def __init__(self, options: ValSetOptions) -> None:
        self.options = options
        self.protocol = EvaluationProtocol.named(options.protocol)
        self.pairs = ImagePairs(options, slice(options.max_images))
        self.pairs.check_given(options.scales)
        is_made = self.pairs.lq is None
        self.pairs.check_smallest((options.scales if is_made else None) or (1.0, 1.0), "scale")
        if options.cache:
            self.pairs.fill_cache()

    def __getitems__(self, indices: Sequence[int]) -> list[dict[str, Any]]:
        """The items of these indices."""
        return [self._item(self.pairs.names[index]) for index in indices]

    def _item(self, name: str) -> dict[str, Any]:
        sizes, pairs = self.sizes(name), self.pairs
        gt = pairs.gt.read(name)[: sizes.gt[0], : sizes.gt[1]]
        if pairs.lq is None:
            lq = make_lr(gt, sizes.lq, pairs.degradation(name_entropy(name)))
        else:
            lq = pairs.lq.read(pairs.lq_name(name))
        return {
            "lq": to_tensor(lq),
            "gt": to_tensor(gt),
            "name": name,
            "scale": torch.tensor(sizes.scales, dtype=torch.float64),
            "lq_path": self.result_name(name),
            "gt_path": pairs.gt.describe(name),
        }

    def sizes(self, name: str) -> ImageSizes:
        """Sizes of an item: HR is cropped to the LR size times the scale, rounded half to even (LIIF)."""
        if self.pairs.lq is None:
            scales = self.options.scales or (1.0, 1.0)  # checked to be there
            lq = lr_size(self.pairs.gt.sizes[name], scales)
        else:
            lq = self.pairs.lq.sizes[self.pairs.lq_name(name)]
            scales = self.options.scales or self.pairs.ratio(name)
        return ImageSizes(lq, scaled_size(lq, scales), scales)

    def result_name(self, name: str) -> str:
        """File name of the LR image, given or as DIV2K would name it (0801x2.png); BasicSR names results after it."""
        if self.pairs.lq is not None:
            return f"{self.pairs.lq_name(name).replace('/', '_')}.png"
        return f"{name.replace('/', '_')}x{scale_label(self.options.scales or 1.0)}.png"

    def check_scorable(self, min_side: int) -> None:
        """Check that the protocol's border leaves enough of every image.

        Args:
            min_side: Pixels that must remain on each axis.

        Raises:
            UserError: Fewer remain.
        """
        for name in self.pairs.names:
            _, size, scales = self.sizes(name)
            shave = self.protocol.shave(max(scales))
            if min(size) - 2 * shave < min_side:
                raise UserError(
                    f"{self.pairs.gt.describe(name)}: {wxh(size)} at x{scale_label(max(scales))} is too small for the "
                    f"protocol {self.protocol.name}, which crops {shave} pixels from each border and needs {min_side} "
                    "more"
                )

    def check_result_names(self, ending: str) -> None:
        """Check that the results of all images, ``IMAGE_ENDING.png``, can be written.

        Raises:
            UserError: As ``check_written_names``.
        """
        stems = (
            (self.result_name(name).removesuffix(".png"), self.pairs.gt.describe(name)) for name in self.pairs.names
        )
        check_written_names(stems, f"_{ending}.png", "val.save_img")
