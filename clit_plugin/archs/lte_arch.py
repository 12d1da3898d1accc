"""Local Texture Estimator (LTE), Lee and Jin, CVPR 2022."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from basicsr.utils.registry import ARCH_REGISTRY
from torch import Tensor, nn

from clit_plugin.archs.decoder import Decoder
from clit_plugin.archs.encoders.registry import out_channels
from clit_plugin.archs.local_implicit_arch import LocalImplicitArch, check_hidden


@ARCH_REGISTRY.register()
class LTE(LocalImplicitArch):
    """Sinusoids whose amplitudes and 2-D frequencies are estimated at each LR pixel. The defaults are the paper's.

    h = A * [cos pi(<F, delta> + P c), sin pi(<F, delta> + P c)] with A and F convolutions of the feature and c the
    cell; an MLP decodes h, over the bilinear image.

    Args:
        encoder: Options of the encoder, see ``build_encoder``.
        width: Amplitudes of a pixel, an even number; half as many frequencies.
        decoder_hidden: Widths of the decoder's hidden layers; ReLU between them.
        local_ensemble: Whether the predictions from four pixels are blended.
        cell_clip: Whether, in evaluation mode, beyond scale 4 the cell is that of scale 4, as in LTE's own tests.
        reference: Compute by the plain reference path, query by query, which gives the same numbers more slowly.

    Raises:
        ValueError: A width below 1, or an odd ``width``.
    """

    def __init__(
        self,
        *,
        encoder: Mapping[str, Any],
        width: int = 256,
        decoder_hidden: Sequence[int] = (256, 256, 256),
        local_ensemble: bool = True,
        cell_clip: bool = True,
        reference: bool = False,
    ) -> None:
        if width < 2 or width % 2:
            raise ValueError(f"width: expected a positive even number, got {width}")
        super().__init__(encoder=encoder, feature_unfold=True, local_ensemble=local_ensemble, reference=reference)
        self.cell_clip = cell_clip
        channels = out_channels(self.encoder)
        self.amplitude = nn.Conv2d(channels, width, 3, padding=1)
        self.frequency = nn.Conv2d(channels, width, 3, padding=1)
        self.phase = nn.Linear(2, width // 2, bias=False)
        self.decoder = Decoder(width, check_hidden(decoder_hidden))

    def projection(self) -> tuple[Tensor, Tensor | None]:
        assert self.amplitude.bias is not None and self.frequency.bias is not None
        weight = torch.cat([self.amplitude.weight, self.frequency.weight]).flatten(1)
        return weight, torch.cat([self.amplitude.bias, self.frequency.bias])

    def decode(self, latent: Tensor, delta: Tensor, cell: Tensor) -> Tensor:
        if self.cell_clip and not self.training:
            cell = cell.clamp_min(0.5)  # 2 / scale: cell * max(scale / 4, 1)
        amplitude, frequency = latent.chunk(2, -1)
        angle = (frequency.unflatten(-1, (-1, 2)) * delta.unsqueeze(-2)).sum(-1)  # B, Q, width / 2
        angle = math.pi * (angle + self.phase(cell.to(self.phase.weight.dtype)))
        wave = torch.cat([angle.cos(), angle.sin()], -1)
        return self.decoder((amplitude * wave).to(latent.dtype))
