"""EDSR and its baseline without the upsampler (Lim et al., CVPRW 2017)."""

import torch
from basicsr.archs.arch_util import ResidualBlockNoBN, make_layer
from torch import Tensor, nn

from clit_plugin.archs.encoders.checks import check_positive
from clit_plugin.archs.encoders.recompute import run_blocks
from clit_plugin.archs.encoders.registry import ENCODER_REGISTRY
from clit_plugin.fast.margins import NO_MARGINS, Margins, convolve_inside


class EDSRTrunk(nn.Module):
    """Residual blocks between two convolutions, with a long skip.

    The mean of DIV2K is not subtracted: neither LIIF nor CLIT do so, as their input is normalised already.

    Args:
        num_feat: Channels of the features.
        num_block: Residual blocks.
        res_scale: Factor of each block's residual.
        use_checkpoint: Recompute each block in the backward pass: less memory, a third more time.
    """

    def __init__(self, *, num_feat: int, num_block: int, res_scale: float, use_checkpoint: bool) -> None:
        check_positive(num_feat=num_feat, num_block=num_block)
        super().__init__()
        self.out_channels = num_feat
        self.reach = 2 * num_block + 2
        self.use_checkpoint = use_checkpoint
        self.conv_first = nn.Conv2d(3, num_feat, 3, padding=1)
        self.body = make_layer(ResidualBlock, num_block, num_feat=num_feat, res_scale=res_scale, pytorch_init=True)
        self.conv_after_body = nn.Conv2d(num_feat, num_feat, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Features (B, num_feat, H, W) of an image (B, 3, H, W) in [-1, 1]."""
        if not (torch.is_grad_enabled() or torch.jit.is_tracing()):
            return self.inside(x, NO_MARGINS)
        h = self.conv_first(x)
        return self.conv_after_body(run_blocks(self.body, h, recompute=self.use_checkpoint)) + h

    def inside(self, x: Tensor, margins: Margins) -> Tensor:
        """``forward(x)`` without the margins, in fewer operations and without gradients."""
        last = x.device.type == "cpu"  # a third less time for narrow convolutions
        reach = 2 * len(self.body) + 2
        wide = margins.take(reach)
        first = convolve_inside(self.conv_first, x.contiguous(memory_format=torch.channels_last) if last else x, wide)
        h = first
        for block in self.body:
            h = block.inside(h, wide)
        h = convolve_inside(self.conv_after_body, h, wide)
        h += wide.take(reach - 1).crop(first)
        h = margins.without(wide).crop(h)
        return h.contiguous() if last else h


class ResidualBlock(ResidualBlockNoBN):
    """BasicSR's, without the product where the factor is 1, and of tiles."""

    def forward(self, x: Tensor) -> Tensor:
        if self.res_scale == 1:
            return x + self.conv2(self.relu(self.conv1(x)))
        return super().forward(x)

    def inside(self, x: Tensor, wide: Margins) -> Tensor:
        """``forward(x)`` without two pixels of those sides that have a margin in ``wide``; without gradients."""
        h = convolve_inside(self.conv2, convolve_inside(self.conv1, x, wide).relu_(), wide)
        if self.res_scale != 1:
            h *= self.res_scale
        h += wide.take(2).crop(x)
        return h


@ENCODER_REGISTRY.register()
class EDSRBaseline(EDSRTrunk):
    """EDSR-baseline, 1.2 M parameters."""

    def __init__(
        self, *, num_feat: int = 64, num_block: int = 16, res_scale: float = 1.0, use_checkpoint: bool = False
    ) -> None:
        super().__init__(num_feat=num_feat, num_block=num_block, res_scale=res_scale, use_checkpoint=use_checkpoint)


@ENCODER_REGISTRY.register()
class EDSR(EDSRTrunk):
    """EDSR of the paper's size, 38 M parameters."""

    def __init__(
        self, *, num_feat: int = 256, num_block: int = 32, res_scale: float = 0.1, use_checkpoint: bool = False
    ) -> None:
        super().__init__(num_feat=num_feat, num_block=num_block, res_scale=res_scale, use_checkpoint=use_checkpoint)
