"""Bicubic interpolation as an architecture: the row that every table starts with, scored by the same code."""

from collections.abc import Sequence

import torch
from basicsr.utils.registry import ARCH_REGISTRY
from torch import Tensor, nn

from clit_plugin.ops.bicubic import check_degradation, resize_bicubic
from clit_plugin.ops.pixels import to_samples, to_tensor
from clit_plugin.ops.stages import check_sizes
from clit_plugin.utils.errors import UserError


@ARCH_REGISTRY.register()
class Bicubic(nn.Module):
    """Upscaling without weights, on images of 8 bits as an image viewer has them.

    Args:
        kernel: ``pil`` or ``matlab``, see ``resize_bicubic``; that of the LR images, by which tables are made.

    Raises:
        ValueError: Another kernel.
    """

    def __init__(self, *, kernel: str = "pil") -> None:
        super().__init__()
        try:
            self.kernel = check_degradation(kernel)
        except UserError as error:
            raise ValueError(str(error).replace("degradation", "kernel", 1)) from None

    @torch.no_grad()
    def upscale(
        self,
        lq: Tensor,
        size: Sequence[int],
        stage_sizes: Sequence[Sequence[int]] | None = None,
        max_queries: int | None = None,
    ) -> Tensor:
        """A whole image.

        Args:
            lq: (B, 3, H, W), RGB in [0, 1]; rounded to bytes.
            size: (H_out, W_out), any positive integers.
            stage_sizes: Without effect; so that it is called as every architecture is.
            max_queries: Likewise.

        Returns:
            (B, 3, H_out, W_out), RGB in [0, 1], multiples of 1/255.

        Raises:
            ValueError: A ``size`` that is not two positive integers.
        """
        ((height, width),) = check_sizes([size], "size")
        images = [to_tensor(resize_bicubic(to_samples(image), (height, width), self.kernel)) for image in lq]
        return torch.stack(images).to(lq)
