"""Local Implicit Image Function (LIIF), Chen et al., CVPR 2021."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from basicsr.utils.registry import ARCH_REGISTRY
from torch import Tensor

from clit_plugin.archs.position_mlp_arch import PositionMLPArch


@ARCH_REGISTRY.register()
class LIIF(PositionMLPArch):
    """A pixel's features, the query's position and the cell, decoded by an MLP. The defaults are the paper's.

    Args:
        encoder: Options of the encoder, see ``build_encoder``.
        decoder_hidden: Widths of the decoder's hidden layers; ReLU between them.
        feature_unfold: Whether the decoder sees the 3 x 3 features around the pixel (-u of LIIF's Table 3: false).
        cell_decoding: Whether the decoder sees the cell (-c: false).
        local_ensemble: Whether the predictions from four pixels are blended (-e: false).
        reference: Compute by the plain reference path, query by query, which gives the same numbers more slowly.

    Raises:
        ValueError: A width below 1.
    """

    def __init__(
        self,
        *,
        encoder: Mapping[str, Any],
        decoder_hidden: Sequence[int] = (256, 256, 256, 256),
        feature_unfold: bool = True,
        cell_decoding: bool = True,
        local_ensemble: bool = True,
        reference: bool = False,
    ) -> None:
        super().__init__(
            encoder=encoder,
            position_features=2 + 2 * cell_decoding,
            decoder_hidden=decoder_hidden,
            feature_unfold=feature_unfold,
            local_ensemble=local_ensemble,
            reference=reference,
        )
        self.cell_decoding = cell_decoding

    def position(self, delta: Tensor, cell: Tensor) -> Tensor:
        return torch.cat([delta, cell.expand_as(delta)], -1) if self.cell_decoding else delta
