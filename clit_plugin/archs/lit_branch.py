"""One branch of the cascade: LIT without its encoder (paper section 3.2, Fig. 2), query by query from the equations.

``clit_plugin.fast`` computes the same numbers from the same parameters with fewer operations and less memory.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from clit_plugin.archs.decoder import Decoder
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
    """Cross-scale local attention and decoder.

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
        self.decoder = Decoder(inputs, decoder_hidden, activation=nn.GELU)

    def reference(
        self,
        feature: Tensor,
        coord: Tensor,
        cell: Tensor,
        pos_bias: nn.Module | None,
        max_queries: int | None,
    ) -> Tensor:
        """The residual image I_r at the queries, eq. 2 to 7.

        Args:
            feature: Z, (B, C, H, W).
            coord: (B, Q, 2), as in ``CLIT.forward``.
            cell: (B, 2), likewise.
            pos_bias: The network's positional bias (eq. 5 and 6); None where there is no attention.
            max_queries: How many queries of an image are computed at a time; None: all of them.

        Returns:
            (B, Q, 3).
        """
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
        """Eq. 3, I_r = D(z~, c), for queries at ``coord`` with local grids around the pixels ``index``, (B, Q, 2)."""
        z = self._local_embedding(maps, coord, index)
        inputs = [z.flatten(2)]  # B, Q, N * C
        if self.frequency is not None and maps.f is not None:
            inputs.append(self.frequency(maps.f, coord, index, maps.size))
        if self.cell_decoding:
            inputs.append(maps.cell.unsqueeze(1).expand(-1, coord.shape[1], -1))
        return self.decoder(torch.cat([part.to(z.dtype) for part in inputs], dim=-1))

    def _local_embedding(self, maps: "_Maps", coord: Tensor, index: Tensor) -> Tensor:
        """z~ of eq. 7, (B, Q, N, C): of every head softmax(q k^T / sqrt(C / heads) + B) times v, side by side."""
        v = gather_local_grid(maps.v, index, self.local_grid)  # B, Q, N, C
        if maps.q is None or maps.k is None or maps.pos_bias is None:
            return v
        q = sample_bilinear(maps.q, coord)  # B, Q, C
        k = gather_local_grid(maps.k, index, self.local_grid)  # B, Q, N, C
        offsets = local_grid_offsets(self.local_grid, device=coord.device)
        bias = maps.pos_bias(relative_coordinates(coord, index, offsets, maps.size))  # B, Q, N, heads
        return weight_values(attention_weights(q, k, bias), v)

    def _ensemble(self, maps: "_Maps", coord: Tensor) -> Tensor:
        """Blend four predictions, with local grids around the pixels of ``ensemble_neighbours``."""
        neighbours = ensemble_neighbours(coord, maps.size)
        predictions = [self._predict(maps, coord, neighbour.pixel) for neighbour in neighbours]
        return blend(predictions, ensemble_areas(neighbours))


class _Maps(NamedTuple):
    """Inputs shared by all queries of a branch.

    q: (B, C, H, W).
    k, v, f: Padded for the local grid, (B, H + G_h - 1, W + G_w - 1, C).
    size: (H, W).
    cell: (B, 2), in half pixels of the map.
    """

    q: Tensor | None
    k: Tensor | None
    v: Tensor
    f: Tensor | None
    size: Size
    cell: Tensor
    pos_bias: nn.Module | None
