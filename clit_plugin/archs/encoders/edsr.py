"""EDSR and its baseline without the upsampler (Lim et al., CVPRW 2017)."""

import torch
from basicsr.archs.arch_util import ResidualBlockNoBN, make_layer
from torch import Tensor, nn

from clit_plugin.archs.encoders.checks import check_positive
from clit_plugin.archs.encoders.recompute import run_blocks
from clit_plugin.archs.encoders.registry import ENCODER_REGISTRY


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
        # A third less time for narrow convolutions on a CPU; exporters know one order only.
        last = x.device.type == "cpu" and not (torch.is_grad_enabled() or torch.jit.is_tracing())
        h = self.conv_first(x.contiguous(memory_format=torch.channels_last) if last else x)
        h = self.conv_after_body(run_blocks(self.body, h, recompute=self.use_checkpoint)) + h
        return h.contiguous() if last else h


class ResidualBlock(ResidualBlockNoBN):
    """BasicSR's, without the product where the factor is 1."""

    def forward(self, x: Tensor) -> Tensor:
        if self.res_scale == 1:
            return x + self.conv2(self.relu(self.conv1(x)))
        return super().forward(x)


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
