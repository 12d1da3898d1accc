"""Residual Dense Network without the upsampler (Zhang et al., CVPR 2018)."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from clit_plugin.archs.encoders.checks import check_positive
from clit_plugin.archs.encoders.recompute import run_block
from clit_plugin.archs.encoders.registry import ENCODER_REGISTRY


class ResidualDenseBlock(nn.Module):
    """Densely connected convolutions, fused by a 1x1 convolution, with a skip (paper Fig. 3)."""

    def __init__(self, *, num_feat: int, num_layer: int, growth: int) -> None:
        super().__init__()
        self.convs = nn.ModuleList(nn.Conv2d(num_feat + i * growth, growth, 3, padding=1) for i in range(num_layer))
        self.fusion = nn.Conv2d(num_feat + num_layer * growth, num_feat, 1)

    def forward(self, x: Tensor) -> Tensor:
        dense = x
        for conv in self.convs:
            dense = torch.cat([dense, F.relu(conv(dense))], dim=1)
        return self.fusion(dense) + x


@ENCODER_REGISTRY.register()
class RDN(nn.Module):
    """RDN, 22 M parameters; the defaults are configuration B of the released code (A: 20 blocks, 6 layers, growth 32).

    Args:
        num_feat: Channels of the features (G0).
        num_block: Residual dense blocks (D).
        num_layer: Convolutions in each block (C).
        growth: Channels that each of them adds (G).
        use_checkpoint: Recompute each block in the backward pass: less memory, a third more time.
    """

    def __init__(
        self,
        *,
        num_feat: int = 64,
        num_block: int = 16,
        num_layer: int = 8,
        growth: int = 64,
        use_checkpoint: bool = False,
    ) -> None:
        check_positive(num_feat=num_feat, num_block=num_block, num_layer=num_layer, growth=growth)
        super().__init__()
        self.out_channels = num_feat
        self.reach = num_block * num_layer + 3
        self.use_checkpoint = use_checkpoint
        self.conv_first = nn.Conv2d(3, num_feat, 3, padding=1)
        self.conv_second = nn.Conv2d(num_feat, num_feat, 3, padding=1)
        self.blocks = nn.ModuleList(
            ResidualDenseBlock(num_feat=num_feat, num_layer=num_layer, growth=growth) for _ in range(num_block)
        )
        self.fusion = nn.Sequential(
            nn.Conv2d(num_block * num_feat, num_feat, 1), nn.Conv2d(num_feat, num_feat, 3, padding=1)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Features (B, num_feat, H, W) of an image (B, 3, H, W) in [-1, 1]."""
        first = self.conv_first(x)
        h = self.conv_second(first)
        outputs = []
        for block in self.blocks:
            h = run_block(block, h, recompute=self.use_checkpoint)
            outputs.append(h)
        return self.fusion(torch.cat(outputs, dim=1)) + first
