"""Meta-SR, Hu et al., CVPR 2019, as LIIF re-implements it: the version that papers tabulate."""

from collections.abc import Mapping
from typing import Any

import torch
from basicsr.utils.registry import ARCH_REGISTRY
from torch import Tensor, nn

from clit_plugin.archs.local_implicit_arch import LocalImplicitArch
from clit_plugin.ops.coordinates import Size, nearest_index, pixel_centres, size_tensor
from clit_plugin.ops.local_ensemble import EDGE, Neighbour


@ARCH_REGISTRY.register()
class MetaSR(LocalImplicitArch):
    """Filters for a pixel's 3 x 3 features, predicted from the position of the query's corner and the scale.

    rgb = z M with z the 9 C features and M = W2 relu(W1 [delta, r] + b1) + b2. The sum over z comes first here, once
    per LR pixel: the latent is z W2 and z b2.

    Args:
        encoder: Options of the encoder, see ``build_encoder``.
        width: Width of the hidden layer.
        reference: Compute by the plain reference path, query by query, which gives the same numbers more slowly.

    Raises:
        ValueError: ``width`` below 1.
    """

    bilinear_skip = False

    def __init__(self, *, encoder: Mapping[str, Any], width: int = 256, reference: bool = False) -> None:
        if width < 1:
            raise ValueError(f"width: expected at least 1, got {width}")
        super().__init__(encoder=encoder, feature_unfold=True, local_ensemble=False, reference=reference)
        self.hidden = nn.Linear(3, width)
        self.filters = nn.Linear(width, self.unfolded_channels * 3)

    def projection(self) -> tuple[Tensor, Tensor | None]:
        weight = self.filters.weight.view(self.unfolded_channels, 3, -1).permute(1, 2, 0)  # 3, width, 9 C
        bias = self.filters.bias.view(self.unfolded_channels, 3).T.unsqueeze(1)  # 3, 1, 9 C
        return torch.cat([weight, bias], 1).flatten(0, 1), None

    def decode(self, latent: Tensor, delta: Tensor, cell: Tensor) -> Tensor:
        position = torch.cat([delta / 2, cell[..., :1].expand_as(delta[..., :1]) / 2], -1)  # in LR pixels
        hidden = torch.relu(self.hidden(position.to(self.hidden.weight.dtype)))
        hidden = torch.cat([hidden, torch.ones_like(hidden[..., :1])], -1).unsqueeze(-1)  # B, Q, width + 1, 1
        return (latent.unflatten(-1, (3, -1)) @ hidden).squeeze(-1)

    def neighbours(self, coord: Tensor, cell: Tensor, size: Size) -> list[Neighbour]:
        """The pixel that contains the output pixel's upper left corner, and that corner relative to the pixel's own."""
        corner = coord - cell.unsqueeze(1) / 2
        index = nearest_index((corner + EDGE).clamp(-1 + EDGE, 1 - EDGE), size)
        extent = size_tensor(size, coord)
        centres = [pixel_centres(n, device=coord.device, dtype=coord.dtype) for n in size]
        pixel = torch.stack([centres[i][index[..., i]] for i in (0, 1)], -1) - 1 / extent
        return [Neighbour(index, (corner - pixel) * extent)]
