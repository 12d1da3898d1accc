"""SwinIR without the upsampler (Liang et al., ICCVW 2021)."""

from collections.abc import Sequence

from basicsr.archs.swinir_arch import SwinIR as BasicSRSwinIR
from torch import Tensor

from clit_plugin.archs.encoders.checks import check_positive
from clit_plugin.archs.encoders.padding import pad_to_multiple
from clit_plugin.archs.encoders.recompute import run_block
from clit_plugin.archs.encoders.registry import ENCODER_REGISTRY


@ENCODER_REGISTRY.register()
class SwinIR(BasicSRSwinIR):
    """BasicSR's SwinIR for classical SR up to ``conv_before_upsample``, 64 channels, 12 M parameters.

    The mean of DIV2K is not subtracted: the input is normalised already. Parameter names are BasicSR's.

    Args:
        embed_dim: Channels inside, a multiple of each of ``num_heads``.
        depths: Transformer layers in each residual group.
        num_heads: Attention heads in each residual group.
        window_size: Side of the attention windows. Other image sizes are padded by mirroring and cropped afterwards.
        mlp_ratio: Hidden width of the MLPs over ``embed_dim``.
        img_size: Image side, a multiple of ``window_size``, for which attention masks are precomputed; other sizes
            compute theirs in every pass. Best the size of the training patches.
        drop_path_rate: Stochastic depth of the last layer, growing from 0 at the first.
        use_checkpoint: Recompute each residual group in the backward pass: much less memory, a third more time.
    """

    def __init__(
        self,
        *,
        embed_dim: int = 180,
        depths: Sequence[int] = (6, 6, 6, 6, 6, 6),
        num_heads: Sequence[int] = (6, 6, 6, 6, 6, 6),
        window_size: int = 8,
        mlp_ratio: float = 2.0,
        img_size: int = 48,
        drop_path_rate: float = 0.1,
        use_checkpoint: bool = False,
    ) -> None:
        check_positive(embed_dim=embed_dim, window_size=window_size)
        if not depths or any(depth < 1 for depth in depths):
            raise ValueError(f"depths: expected positive numbers, got {list(depths)}")
        if len(num_heads) != len(depths):
            raise ValueError(f"num_heads: expected {len(depths)} numbers, as in depths, got {list(num_heads)}")
        if any(heads < 1 or embed_dim % heads for heads in num_heads):
            raise ValueError(f"num_heads: expected divisors of embed_dim ({embed_dim}), got {list(num_heads)}")
        # With a smaller img_size BasicSR shrinks the windows and never shifts them.
        if img_size <= window_size or img_size % window_size:
            raise ValueError(f"img_size: expected a multiple of window_size ({window_size}) above it, got {img_size}")
        if mlp_ratio <= 0:
            raise ValueError(f"mlp_ratio: expected a positive number, got {mlp_ratio}")
        if not 0 <= drop_path_rate < 1:
            raise ValueError(f"drop_path_rate: expected a number in [0, 1), got {drop_path_rate}")
        super().__init__(
            img_size=img_size,
            embed_dim=embed_dim,
            depths=tuple(depths),
            num_heads=tuple(num_heads),
            window_size=window_size,
            mlp_ratio=mlp_ratio,
            drop_path_rate=drop_path_rate,
            upscale=1,
            upsampler="pixelshuffle",
        )
        # They would never get a gradient, for which DistributedDataParallel waits.
        del self.upsample, self.conv_last
        self.window_size = window_size
        self.use_checkpoint = use_checkpoint
        self.out_channels: int = self.conv_before_upsample[0].out_channels

    def forward_features(self, x: Tensor) -> Tensor:
        """As in BasicSR, whose own checkpointing passes too few arguments and fails."""
        size = (x.shape[2], x.shape[3])
        tokens = self.patch_embed(x)  # B, H * W, embed_dim
        for layer in self.layers:
            tokens = run_block(layer, tokens, size, recompute=self.use_checkpoint)
        return self.patch_unembed(self.norm(tokens), size)

    def forward(self, x: Tensor) -> Tensor:
        """Features (B, 64, H, W) of an image (B, 3, H, W) in [-1, 1]."""
        h, w = x.shape[-2:]
        first = self.conv_first(pad_to_multiple(x, self.window_size))
        feature = self.conv_after_body(self.forward_features(first)) + first
        return self.conv_before_upsample(feature)[..., :h, :w]
