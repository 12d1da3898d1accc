"""Local Implicit Transformer (LIT) and its cascade (CLIT), Chen et al., CVPR 2023."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, cast

import torch
from basicsr.utils.registry import ARCH_REGISTRY
from torch import Tensor, nn

from clit_plugin.archs.arbitrary_scale_arch import ArbitraryScaleArch, Progress
from clit_plugin.archs.encoders.registry import out_channels
from clit_plugin.archs.lit_branch import Branch
from clit_plugin.archs.positional_bias import PositionalBias
from clit_plugin.fast.attention_maps import attention_maps
from clit_plugin.fast.margins import Margins, convolve_inside, encode_inside
from clit_plugin.fast.render import render
from clit_plugin.fast.sample import sample, sampling_pays
from clit_plugin.ops.coordinates import Size
from clit_plugin.ops.local_attention import resize_bilinear
from clit_plugin.ops.parts import Part
from clit_plugin.ops.stages import check_stage_sizes

_CHUNK_BYTES = 2**28  # gathered by the reference path at a time


class AttentionMaps(NamedTuple):
    """One branch: weights (B, Q, N, heads) on local grids around ``centre`` (B, Q, 2), in a map of ``size`` (H, W)."""

    weights: Tensor
    centre: Tensor
    size: Size


@ARCH_REGISTRY.register()
class CLIT(ArbitraryScaleArch):
    """Cascaded Local Implicit Transformer; with one branch, the Local Implicit Transformer.

    The defaults are the paper's. Branch i + 1 works on the features resized to the i-th of ``stage_sizes`` (eq. 8); the
    image is the discounted sum of the branches' residuals over the bilinear image (eq. 9). A branch, with the attention
    of eq. 7, is ``lit_branch.Branch``. The four convolutions of section 3.2 are ``conv_feat`` and each branch's q, k
    and v; the branches share the positional bias, as in the released code.

    Args:
        encoder: Options of the encoder, see ``build_encoder``.
        num_branches: N, at least 1.
        dim: Channels of the features, a multiple of ``num_heads``.
        num_heads: Attention heads.
        local_grid: G, odd, or (G_h, G_w) (Table 4: 1 to 25).
        decoder_hidden: Widths of the decoder's hidden layers; GELU between them.
        positional_encoding: ``released`` (16 frequencies), ``eq6`` (the paper's 10) or ``none`` (-b: the bias is a
            linear function of the relative coordinates).
        local_attention: False: -a of Table 3, the nearest value alone is decoded.
        cell_decoding: False: -c of Table 3.
        local_ensemble: True: +e of Table 3.
        discount: lambda of eq. 9.
        frequency_channels: Channels of the conclusion's local frequency encoding block, see ``FrequencyBlock``; 0:
            none, as in the released code. The network is then computed by the reference path.
        zero_start: The last layer of every decoder starts at zero, so that training starts from the bilinear image
            and a new branch changes nothing at first; False: torch's start, as in the released code.
        reference: Compute by the plain reference path, query by query, which gives the same numbers more slowly.

    Raises:
        ValueError: An argument outside these bounds.
    """

    def __init__(
        self,
        *,
        encoder: Mapping[str, Any],
        num_branches: int = 1,
        dim: int = 256,
        num_heads: int = 8,
        local_grid: int | Sequence[int] = 7,
        decoder_hidden: Sequence[int] = (256, 256, 256, 256),
        positional_encoding: str = "released",
        local_attention: bool = True,
        cell_decoding: bool = True,
        local_ensemble: bool = False,
        discount: float = 0.75,
        frequency_channels: int = 0,
        zero_start: bool = False,
        reference: bool = False,
    ) -> None:
        grid = (local_grid, local_grid) if isinstance(local_grid, int) else tuple(local_grid)
        if len(grid) != 2 or any(n < 1 or n % 2 == 0 for n in grid):
            raise ValueError(f"local_grid: expected an odd number, or a pair (height, width) of them, got {local_grid}")
        if num_branches < 1:
            raise ValueError(f"num_branches: expected at least 1, got {num_branches}")
        if num_heads < 1 or dim < 1 or dim % num_heads:
            raise ValueError(f"dim: expected a positive multiple of num_heads ({num_heads}), got {dim}")
        if frequency_channels < 0:
            raise ValueError(f"frequency_channels: expected at least 0, got {frequency_channels}")
        super().__init__(encoder=encoder)
        self.num_branches = num_branches
        self.local_grid = (grid[0], grid[1])
        self.discount = discount
        self.reference = reference
        self.frequency_channels = frequency_channels
        self.conv_feat = nn.Conv2d(out_channels(self.encoder), dim, 3, padding=1)
        self.pos_bias = PositionalBias(num_heads=num_heads, encoding=positional_encoding) if local_attention else None
        self.branches = nn.ModuleList(
            Branch(
                dim=dim,
                local_grid=self.local_grid,
                decoder_hidden=decoder_hidden,
                local_attention=local_attention,
                cell_decoding=cell_decoding,
                local_ensemble=local_ensemble,
                frequency_channels=frequency_channels,
            )
            for _ in range(num_branches)
        )
        if zero_start:
            for branch in cast(list[Branch], list(self.branches)):
                nn.init.zeros_(branch.decoder.last.weight)
                nn.init.zeros_(branch.decoder.last.bias)

    def features(self, lq: Tensor) -> Tensor:
        return self.conv_feat(self.encoder(lq))

    def features_inside(self, lq: Tensor, margins: Margins) -> Tensor:
        last = margins.take(1)
        return convolve_inside(self.conv_feat, encode_inside(self.encoder, lq, margins.without(last)), last)

    def residual(
        self, lq: Tensor, coord: Tensor, cell: Tensor, stage_sizes: Sequence[Size], max_queries: int | None
    ) -> Tensor:
        feature = self.features(lq)
        in_use = self._branches_in_use(stage_sizes)
        bias = self.pos_bias
        first = in_use[0][1]
        if bias is not None and not self._plain and sampling_pays(first, feature, coord, stage_sizes, bias):
            return self._cascade([sample(branch, feature, size, coord, cell, bias) for size, branch in in_use])
        images: list[Tensor] = []
        for size, branch in in_use:
            # Eq. 8 resizes the encoder's output; the released code, followed here, resizes the output of conv_feat.
            resized = feature if size is None else resize_bilinear(feature, size)
            images.append(branch.reference(resized, coord, cell, bias, max_queries))
        return self._cascade(images)

    def residual_image(
        self,
        lq: Tensor,
        size: Size,
        stage_sizes: Sequence[Size],
        max_queries: int | None,
        progress: Progress | None = None,
        part: Part | None = None,
        features: Tensor | None = None,
    ) -> Tensor:
        if self._plain:
            max_queries = max_queries or self.default_max_queries(lq.shape[0])
            return super().residual_image(lq, size, stage_sizes, max_queries, progress)
        features = self.features(lq) if features is None else features
        in_use = self._branches_in_use(stage_sizes)
        done = None if progress is None else lambda pixels: progress(pixels / len(in_use))
        residuals = [
            self._cascade(
                [
                    render(branch, feature, stage, size, self.pos_bias, max_queries, done, part)
                    for stage, branch in in_use
                ]
            )
            for feature in features.split(1)
        ]
        return torch.stack(residuals).permute(0, 3, 1, 2)

    @torch.no_grad()
    def attention(
        self,
        lq: Tensor,
        coord: Tensor,
        stage_sizes: Sequence[Size],
        features: Tensor | None = None,
        part: Part | None = None,
    ) -> list[AttentionMaps]:
        """Local attention maps of every branch in use (paper Fig. 7), see ``attention_maps``.

        Args:
            lq: (B, 3, H, W), RGB in [0, 1].
            coord: (B, Q, 2), as in ``forward``.
            stage_sizes: As in ``forward``, required.
            features: The output of ``encode`` for ``lq``, if it is available.
            part: The position of ``lq`` and ``features`` in a larger image, to which ``coord`` and ``stage_sizes``
                refer, as in ``upscale_part``.

        Raises:
            ValueError: The network has no attention, or bad ``stage_sizes``.
        """
        if self.pos_bias is None:
            raise ValueError("local_attention: off in this network, which has no attention maps")
        feature = self.encode(lq) if features is None else features
        maps = []
        for size, branch in self._branches_in_use(check_stage_sizes(stage_sizes, self.num_branches)):
            weights, index = attention_maps(branch, feature, size, coord, self.pos_bias, part)
            own = (lq.shape[-2], lq.shape[-1]) if part is None else part.lq_size
            maps.append(AttentionMaps(weights, index, size or own))
        return maps

    @property
    def head_reach(self) -> int | None:
        # conv_feat, a convolution of q, k or v, the reach of resizing, and the local grid.
        if self._plain or self.pos_bias is None:
            return None
        return 5 + max(1, *(n // 2 for n in self.local_grid))

    @property
    def _plain(self) -> bool:
        return self.reference or self.frequency_channels > 0

    def _branches_in_use(self, stage_sizes: Sequence[Size]) -> list[tuple[Size | None, Branch]]:
        """Each branch with the grid it works on; None stands for the encoder's own."""
        return list(zip([None, *stage_sizes], cast(list[Branch], list(self.branches)), strict=False))

    def _cascade(self, images: Sequence[Tensor]) -> Tensor:
        """Eq. 9 without its last term, the bilinear image: sum over i of discount^(N - i) I_i."""
        total = images[0]
        for image in images[1:]:
            total = image + self.discount * total
        return total

    def default_max_queries(self, batch: int) -> int:
        """The number that keeps the reference path's gathered keys, values and sinusoids within about 256 MB."""
        pixels = self.local_grid[0] * self.local_grid[1] if self.pos_bias is not None else 1
        encoded = 0 if self.pos_bias is None else 2 * self.pos_bias.in_features
        spectrum = 8 * self.frequency_channels * self.local_grid[0] * self.local_grid[1]
        floats = pixels * (4 * self.conv_feat.out_channels + encoded) + spectrum
        return max(1, _CHUNK_BYTES // (4 * floats * batch))
