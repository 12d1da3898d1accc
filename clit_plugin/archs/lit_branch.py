"""One branch of the cascade (LIT without its encoder): its parameters and the paper's equations, query by query.

``clit_plugin.fast`` computes the same numbers from the same parameters with fewer operations and less memory.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from clit_plugin.archs.frequency_block import FrequencyBlock
from clit_plugin.ops.coordinates import (
    Size,
    local_grid_offsets,
    nearest_index,
    relative_coordinates,
    size_tensor,
)
from clit_plugin.ops.local_attention import (
    attention_weights,
    gather_local_grid,
    pad_for_local_grid,
    sample_bilinear,
    weight_values,
)
from clit_plugin.ops.local_ensemble import blend, ensemble_areas, ensemble_neighbours


class Branch(nn.Module):
    """One LIT without its encoder: cross-scale local attention and decoder (paper Fig. 2).

    Args:
        dim: Channels of the features and of q, k and v.
        local_grid: (G_h, G_w), odd.
        decoder_hidden: Widths of the decoder's hidden layers.
        local_attention: Whether values are weighted by attention; if not, only the nearest one is decoded.
        cell_decoding: Whether the decoder sees the cell.
        local_ensemble: Whether the predictions from four shifted grids are blended (LIIF).
        frequency_channels: Channels of the frequency block, which only the reference path computes; 0: none.
    """

    def __init__(
        self,
        *,
        dim: int,
        local_grid: Size,
        decoder_hidden: Sequence[int],
        local_attention: bool,
        cell_decoding: bool,
        local_ensemble: bool,
        frequency_channels: int,
    ) -> None:
        super().__init__()
        self.local_grid = local_grid if local_attention else (1, 1)
        self.cell_decoding = cell_decoding
        self.local_ensemble = local_ensemble
        self.to_v = nn.Conv2d(dim, dim, 3, padding=1)
        self.to_q = nn.Conv2d(dim, dim, 3, padding=1) if local_attention else None
        self.to_k = nn.Conv2d(dim, dim, 3, padding=1) if local_attention else None
        self.frequency = None
        if frequency_channels:
            self.frequency = FrequencyBlock(dim=dim, channels=frequency_channels, local_grid=local_grid)
        spectrum = 0 if self.frequency is None else self.frequency.out_features
        inputs = self.local_grid[0] * self.local_grid[1] * dim + spectrum + 2 * cell_decoding
        widths = [inputs, *decoder_hidden]
        layers: list[nn.Module] = []
        for width_in, width_out in zip(widths, widths[1:], strict=False):
            layers += [nn.Linear(width_in, width_out), nn.GELU()]
        self.decoder = nn.Sequential(*layers, nn.Linear(widths[-1], 3))

    def reference(
        self,
        feature: Tensor,
        coord: Tensor,
        cell: Tensor,
        pos_bias: nn.Module | None,
        max_queries: int | None,
    ) -> Tensor:
        """Residual colours (B, Q, 3) from ``feature`` (B, C, H, W); coord and cell as in ``CLIT.forward``."""
        maps = _Maps(
            q=None if self.to_q is None else self.to_q(feature),
            k=None if self.to_k is None else pad_for_local_grid(self.to_k(feature), self.local_grid),
            v=pad_for_local_grid(self.to_v(feature), self.local_grid),
            f=None if self.frequency is None else self.frequency.map(feature),
            size=(feature.shape[-2], feature.shape[-1]),
            cell=cell * size_tensor((feature.shape[-2], feature.shape[-1]), cell),
            pos_bias=pos_bias,
        )
        chunks = [coord] if max_queries is None else coord.split(max_queries, dim=1)
        if self.local_ensemble:
            return torch.cat([self._ensemble(maps, chunk) for chunk in chunks], dim=1)
        return torch.cat([self._predict(maps, chunk, nearest_index(chunk, maps.size)) for chunk in chunks], dim=1)

    def _predict(self, maps: "_Maps", coord: Tensor, index: Tensor) -> Tensor:
        """Decode the queries at ``coord``, with local grids about the pixels ``index`` (both (B, Q, 2))."""
        values = gather_local_grid(maps.v, index, self.local_grid)  # B, Q, N, C
        if maps.q is not None and maps.k is not None and maps.pos_bias is not None:
            weights = self._weights(maps.q, maps.k, coord, index, maps.size, maps.pos_bias)
            values = weight_values(weights, values)
        inputs = [values.flatten(2)]  # B, Q, N * C
        if self.frequency is not None and maps.f is not None:
            inputs.append(self.frequency(maps.f, coord, index, maps.size))
        if self.cell_decoding:
            inputs.append(maps.cell.unsqueeze(1).expand(-1, coord.shape[1], -1))
        return self.decoder(torch.cat([part.to(values.dtype) for part in inputs], dim=-1))

    def _weights(self, q: Tensor, k: Tensor, coord: Tensor, index: Tensor, size: Size, pos_bias: nn.Module) -> Tensor:
        """Local attention maps (B, Q, N, heads), from q (B, C, H, W) and k padded; the rest as in ``_predict``."""
        offsets = local_grid_offsets(self.local_grid, device=coord.device)
        bias = pos_bias(relative_coordinates(coord, index, offsets, size))  # B, Q, N, heads
        keys = gather_local_grid(k, index, self.local_grid)
        return attention_weights(sample_bilinear(q, coord), keys, bias)

    def _ensemble(self, maps: "_Maps", coord: Tensor) -> Tensor:
        """Blend four predictions, with local grids about the neighbours of ``ensemble_neighbours``."""
        neighbours = ensemble_neighbours(coord, maps.size)
        predictions = [self._predict(maps, coord, neighbour.pixel) for neighbour in neighbours]
        return blend(predictions, ensemble_areas(neighbours))


class _Maps(NamedTuple):
    """What all queries of a branch share: q (B, C, H, W), k, v and f padded for the local grid, and (H, W)."""

    q: Tensor | None
    k: Tensor | None
    v: Tensor
    f: Tensor | None
    size: Size
    cell: Tensor
    pos_bias: nn.Module | None
