"""Relative positional bias of local attention."""

import torch
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

    def parts(self, rows: Tensor, columns: Tensor) -> tuple[Tensor, Tensor]:
        """The bias as a sum of two parts: FC is linear, and no feature mixes the axes.

        Args:
            rows: (...), relative coordinates along the rows' axis.
            columns: (...), along the columns' axis.

        Returns:
            (..., heads) each, the rows' with FC's own bias.
        """
        weight, bias = self.weight.to(rows.dtype), self.bias.to(rows.dtype)
        if self.frequencies.numel() == 0:
            row_weight, column_weight = weight.chunk(2, dim=1)
            return F.linear(rows.unsqueeze(-1), row_weight, bias), F.linear(columns.unsqueeze(-1), column_weight)
        row_sines, column_sines, row_cosines, column_cosines = weight.chunk(4, dim=1)
        return self._part(rows, row_sines, row_cosines, bias), self._part(columns, column_sines, column_cosines)

    def _part(self, delta: Tensor, sines: Tensor, cosines: Tensor, bias: Tensor | None = None) -> Tensor:
        phase = delta.unsqueeze(-1) * self.frequencies
        part = F.linear(phase.sin(), sines, bias)
        return torch.addmm(part.flatten(0, -2), phase.cos().flatten(0, -2), cosines.T).view(part.shape)
