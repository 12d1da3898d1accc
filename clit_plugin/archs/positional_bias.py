"""Relative positional bias of local attention."""

import torch.nn.functional as F
from torch import Tensor, nn

from clit_plugin.ops.positional_encoding import encoding_dim, encoding_frequencies, positional_encoding


class PositionalBias(nn.Linear):
    """Relative positional bias B = FC(gamma(delta)), paper eq. 5; (..., 2) -> (..., heads)."""

    frequencies: Tensor

    def __init__(self, *, num_heads: int, encoding: str) -> None:
        frequencies = encoding_frequencies(encoding)
        super().__init__(encoding_dim(frequencies), num_heads)
        self.register_buffer("frequencies", frequencies, persistent=False)

    def forward(self, delta: Tensor) -> Tensor:
        return super().forward(positional_encoding(delta, self.frequencies))

    def along(self, delta: Tensor, axis: int) -> Tensor:
        """The part of one axis: FC is linear and no feature mixes the axes, so that the two parts add up to the bias.

        Args:
            delta: (...), relative coordinates along the axis.
            axis: 0, rows (with FC's own bias), or 1, columns.

        Returns:
            (..., heads).
        """
        n = self.frequencies.numel() or 1
        weight = self.weight.to(delta.dtype)
        sines = weight[:, axis * n : (axis + 1) * n]
        bias = self.bias.to(delta.dtype) if axis == 0 else None
        if self.frequencies.numel() == 0:
            return F.linear(delta.unsqueeze(-1), sines, bias)
        phase = delta.unsqueeze(-1) * self.frequencies
        cosines = weight[:, (axis + 2) * n : (axis + 3) * n]
        return F.linear(phase.sin(), sines, bias) + F.linear(phase.cos(), cosines)
