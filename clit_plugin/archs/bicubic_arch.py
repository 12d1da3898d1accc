"""Bicubic interpolation as an architecture, so that the first row of every table is scored by the same code."""

from collections.abc import Sequence

import torch
from basicsr.utils.registry import ARCH_REGISTRY
from torch import Tensor, nn

from clit_plugin.ops.bicubic import DEGRADATIONS, resize_bicubic
from clit_plugin.ops.pixels import to_samples, to_tensor
from clit_plugin.ops.stages import check_sizes


@ARCH_REGISTRY.register()
class Bicubic(nn.Module):
    """Upscaling without weights, on images rounded to 8 bits.

    Args:
        kernel: ``pil`` or ``matlab``, see ``resize_bicubic``; tables use the kernel that made the LR images.

    Raises:
        ValueError: Another kernel.
    """

    def __init__(self, *, kernel: str = "pil") -> None:
        super().__init__()
        if kernel not in DEGRADATIONS:
            raise ValueError(f"kernel: expected one of {', '.join(DEGRADATIONS)}, got {kernel!r}")
        self.kernel = kernel

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
            stage_sizes: Ignored; part of every architecture's signature.
            max_queries: Ignored.

        Returns:
            (B, 3, H_out, W_out), RGB in [0, 1], multiples of 1/255.

        Raises:
            ValueError: A ``size`` that is not two positive integers.
        """
        ((height, width),) = check_sizes([size], "size")
        images = [to_tensor(resize_bicubic(to_samples(image), (height, width), self.kernel)) for image in lq]
        return torch.stack(images).to(lq)
