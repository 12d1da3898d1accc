"""UltraSR, Xu et al., arXiv 2103.12716."""

from collections.abc import Mapping
from typing import Any, cast

import torch
import torch.nn.functional as F
from basicsr.utils.registry import ARCH_REGISTRY
from torch import Tensor, nn

from clit_plugin.archs.local_implicit_arch import LocalImplicitArch


@ARCH_REGISTRY.register()
class UltraSR(LocalImplicitArch):
    """LIIF with a sinusoidal encoding of the position, which every layer receives anew.

    No code was released. That the position s = [delta, encoding] enters at the input and again at every later layer
    is in the authors' figure; that 2-D coordinates get 48 sinusoids, in a survey. ``omega_init``, ``learn_omega``,
    ``residual`` and ``cell_decoding`` are not established, hence options.

    Args:
        encoder: Options of the encoder, see ``build_encoder``.
        width: Width of the four hidden layers.
        num_frequencies: Sinusoids of each axis, a sine and a cosine each (12: 48 values).
        omega_init: Frequencies, in radians per half LR pixel: ``exp`` is 2 e^n and ``pow2`` 2^n, n from 1. Of 12,
            ``exp`` has its highest at 3.3e5, so that the sinusoids are taken in float32 at least.
        learn_omega: Whether the frequencies are trained.
        residual: Whether each hidden layer but the first adds its input to its output.
        cell_decoding: Whether the cell is part of the position.
        feature_unfold: As for ``LIIF``.
        local_ensemble: As for ``LIIF``.
        reference: As for ``LIIF``.

    Raises:
        ValueError: A number below 1, or another ``omega_init``.
    """

    bilinear_skip = False

    def __init__(
        self,
        *,
        encoder: Mapping[str, Any],
        width: int = 256,
        num_frequencies: int = 12,
        omega_init: str = "exp",
        learn_omega: bool = True,
        residual: bool = False,
        cell_decoding: bool = False,
        feature_unfold: bool = True,
        local_ensemble: bool = True,
        reference: bool = False,
    ) -> None:
        if width < 1 or num_frequencies < 1:
            raise ValueError(f"width and num_frequencies: expected at least 1, got {width} and {num_frequencies}")
        if omega_init not in ("exp", "pow2"):
            raise ValueError(f"omega_init: expected exp or pow2, got {omega_init!r}")
        super().__init__(
            encoder=encoder, feature_unfold=feature_unfold, local_ensemble=local_ensemble, reference=reference
        )
        n = torch.arange(1, num_frequencies + 1, dtype=torch.float64)
        omega = 2 * torch.exp(n) if omega_init == "exp" else 2**n
        self.omega = nn.Parameter(omega.to(torch.get_default_dtype()), requires_grad=learn_omega)
        self.residual_links, self.cell_decoding = residual, cell_decoding
        position = 2 + 4 * num_frequencies + 2 * cell_decoding
        inputs = [self.unfolded_channels, width, width, width, width]
        outputs = [width, width, width, width, 3]
        self.layers = nn.ModuleList(nn.Linear(i + position, o) for i, o in zip(inputs, outputs, strict=True))

    def projection(self) -> tuple[Tensor, Tensor | None]:
        first, *_ = self._linears()
        return first.weight[:, : self.unfolded_channels], first.bias

    def decode(self, latent: Tensor, delta: Tensor, cell: Tensor) -> Tensor:
        first, *middle, last = self._linears()
        position = self._position(delta, cell).to(first.weight.dtype)
        hidden = F.relu(latent + F.linear(position, first.weight[:, self.unfolded_channels :]))
        for layer in middle:
            out = F.relu(layer(torch.cat([hidden, position], -1)))
            hidden = out + hidden if self.residual_links else out
        return last(torch.cat([hidden, position], -1))

    def _linears(self) -> list[nn.Linear]:
        return cast(list[nn.Linear], list(self.layers))

    def _position(self, delta: Tensor, cell: Tensor) -> Tensor:
        """s, (B, Q, 2 + 4 n): delta, then sines and cosines of the row, of the column, and the cell."""
        angle = delta.unsqueeze(-1) * self.omega.to(delta.dtype)  # B, Q, 2, n
        encoded = torch.cat([angle.sin(), angle.cos()], -1).flatten(-2)
        parts = [delta, encoded] + ([cell.expand_as(delta)] if self.cell_decoding else [])
        return torch.cat(parts, -1)
