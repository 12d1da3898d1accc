"""What LIIF and IPE share: one MLP sees the features around a pixel and an encoding of the query's position."""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import torch.nn.functional as F
from torch import Tensor

from clit_plugin.archs.decoder import Decoder
from clit_plugin.archs.local_implicit_arch import LocalImplicitArch, check_hidden


class PositionMLPArch(LocalImplicitArch):
    """rgb = MLP([unfold(z), position]) at each LR pixel that predicts the query.

    The first layer is linear, so that its product with the features is computed once per LR pixel (the latent) and its
    product with the position once per query.

    Args:
        encoder: Options of the encoder, see ``build_encoder``.
        position_features: What ``position`` returns.
        decoder_hidden: Widths of the decoder's hidden layers, at least one; ReLU between them.
        feature_unfold: As for ``LocalImplicitArch``.
        local_ensemble: Likewise.
        reference: Likewise.

    Raises:
        ValueError: No hidden layer, or a width below 1.
    """

    bilinear_skip = False

    def __init__(
        self,
        *,
        encoder: Mapping[str, Any],
        position_features: int,
        decoder_hidden: Sequence[int],
        feature_unfold: bool,
        local_ensemble: bool,
        reference: bool,
    ) -> None:
        super().__init__(
            encoder=encoder, feature_unfold=feature_unfold, local_ensemble=local_ensemble, reference=reference
        )
        self.decoder = Decoder(self.unfolded_channels + position_features, check_hidden(decoder_hidden))

    @abstractmethod
    def position(self, delta: Tensor, cell: Tensor) -> Tensor:
        """(B, Q, position_features) from delta (B, Q, 2) and cell (B, 1, 2), see ``LocalImplicitArch.decode``."""

    def projection(self) -> tuple[Tensor, Tensor | None]:
        first = self.decoder.first
        return first.weight[:, : self.unfolded_channels], first.bias

    def decode(self, latent: Tensor, delta: Tensor, cell: Tensor) -> Tensor:
        weight = self.decoder.first.weight
        position = self.position(delta, cell).to(weight.dtype)
        return self.decoder.rest(latent + F.linear(position, weight[:, self.unfolded_channels :]))
