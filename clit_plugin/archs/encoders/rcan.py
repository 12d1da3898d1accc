"""Residual Channel Attention Network without the upsampler (Zhang et al., ECCV 2018)."""

from basicsr.archs.arch_util import make_layer
from basicsr.archs.rcan_arch import ResidualGroup
from torch import Tensor, nn

from clit_plugin.archs.encoders.checks import check_positive
from clit_plugin.archs.encoders.recompute import run_blocks
from clit_plugin.archs.encoders.registry import ENCODER_REGISTRY


@ENCODER_REGISTRY.register()
class RCAN(nn.Module):
    """RCAN, 15 M parameters; the mean of DIV2K is not subtracted, as in ``EDSRTrunk``.

    Args:
        num_feat: Channels of the features.
        num_group: Residual groups.
        num_block: Channel attention blocks in each group.
        squeeze_factor: By how much the channel attention narrows its hidden layer.
        use_checkpoint: Recompute each group in the backward pass: less memory, a third more time.
    """

    def __init__(
        self,
        *,
        num_feat: int = 64,
        num_group: int = 10,
        num_block: int = 20,
        squeeze_factor: int = 16,
        use_checkpoint: bool = False,
    ) -> None:
        check_positive(num_feat=num_feat, num_group=num_group, num_block=num_block, squeeze_factor=squeeze_factor)
        if squeeze_factor > num_feat:
            raise ValueError(f"squeeze_factor: expected at most num_feat ({num_feat}), got {squeeze_factor}")
        super().__init__()
        self.out_channels = num_feat
        self.use_checkpoint = use_checkpoint
        self.conv_first = nn.Conv2d(3, num_feat, 3, padding=1)
        self.body = make_layer(
            ResidualGroup, num_group, num_feat=num_feat, num_block=num_block, squeeze_factor=squeeze_factor
        )
        self.conv_after_body = nn.Conv2d(num_feat, num_feat, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Features (B, num_feat, H, W) of an image (B, 3, H, W) in [-1, 1]."""
        h = self.conv_first(x)
        return self.conv_after_body(run_blocks(self.body, h, recompute=self.use_checkpoint)) + h
