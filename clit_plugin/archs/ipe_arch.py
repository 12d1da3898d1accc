"""LIIF with integrated positional encoding (IPE), Liu et al., arXiv 2112.05756."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from basicsr.utils.registry import ARCH_REGISTRY
from torch import Tensor

from clit_plugin.archs.position_mlp_arch import PositionMLPArch


@ARCH_REGISTRY.register()
class IPE(PositionMLPArch):
    """LIIF that sees, instead of the query's position, sinusoids averaged over the area of the output pixel.

    The mean of sin(w x) over a pixel of width c is sin(w x) sin(w c / 2) / (w c / 2), likewise for the cosine. No code
    was released: the number of frequencies, pi in them, and whether the decoder also sees the position and the cell
    themselves are not established, hence options.

    Args:
        encoder: Options of the encoder, see ``build_encoder``.
        decoder_hidden: As for ``LIIF``.
        num_frequencies: L: w = 2^l, l from 0 to L - 1, radians per half LR pixel.
        times_pi: Whether w = 2^l pi.
        include_delta: Whether the decoder sees the position, too.
        cell_decoding: Whether the decoder sees the cell, too.
        feature_unfold: As for ``LIIF``.
        local_ensemble: As for ``LIIF``.
        reference: As for ``LIIF``.

    Raises:
        ValueError: A width or ``num_frequencies`` below 1.
    """

    def __init__(
        self,
        *,
        encoder: Mapping[str, Any],
        decoder_hidden: Sequence[int] = (256, 256, 256, 256),
        num_frequencies: int = 10,
        times_pi: bool = True,
        include_delta: bool = False,
        cell_decoding: bool = False,
        feature_unfold: bool = True,
        local_ensemble: bool = True,
        reference: bool = False,
    ) -> None:
        if num_frequencies < 1:
            raise ValueError(f"num_frequencies: expected at least 1, got {num_frequencies}")
        super().__init__(
            encoder=encoder,
            position_features=4 * num_frequencies + 2 * include_delta + 2 * cell_decoding,
            decoder_hidden=decoder_hidden,
            feature_unfold=feature_unfold,
            local_ensemble=local_ensemble,
            reference=reference,
        )
        self.num_frequencies, self.times_pi = num_frequencies, times_pi
        self.include_delta, self.cell_decoding = include_delta, cell_decoding

    def position(self, delta: Tensor, cell: Tensor) -> Tensor:
        parts = [self._encode(delta, cell)]
        parts += [delta] * self.include_delta + [cell.expand_as(delta)] * self.cell_decoding
        return torch.cat(parts, -1)

    def _encode(self, delta: Tensor, cell: Tensor) -> Tensor:
        """(B, Q, 4 L): sines and cosines of the row, then of the column, averaged over the output pixel."""
        omega = 2.0 ** torch.arange(self.num_frequencies, device=delta.device, dtype=delta.dtype)
        omega = omega * math.pi if self.times_pi else omega
        angle = delta.unsqueeze(-1) * omega  # B, Q, 2, L
        mean = torch.sinc(cell.unsqueeze(-1) * omega / (2 * math.pi))  # B, 1, 2, L; sinc(x) = sin(pi x) / (pi x)
        return torch.cat([angle.sin() * mean, angle.cos() * mean], -1).flatten(-2)
