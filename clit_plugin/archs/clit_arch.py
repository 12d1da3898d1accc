"""Local Implicit Transformer (LIT) and its cascade (CLIT), Chen et al., CVPR 2023."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from basicsr.utils.registry import ARCH_REGISTRY
from torch import Tensor, nn

from clit_plugin.archs.arbitrary_scale_arch import ArbitraryScaleArch
from clit_plugin.archs.encoders.registry import out_channels
from clit_plugin.ops.coordinates import Size, local_grid_offsets, nearest_index, relative_coordinates, size_tensor
from clit_plugin.ops.local_attention import (
    attention_weights,
    gather_local_grid,
    pad_for_local_grid,
    resize_bilinear,
    sample_bilinear,
    weight_values,
)
from clit_plugin.ops.positional_encoding import encoding_dim, encoding_frequencies, positional_encoding

_CHUNK_BYTES = 2**28


class Branch(nn.Module):
    """One LIT without its encoder: cross-scale local attention and decoder (paper Fig. 2).

    Args:
        dim: Channels of the features and of q, k and v.
        local_grid: (G_h, G_w), odd.
        decoder_hidden: Widths of the decoder's hidden layers.
        local_attention: Whether values are weighted by attention; if not, only the nearest one is decoded.
        cell_decoding: Whether the decoder sees the cell.
        local_ensemble: Whether the predictions from four shifted grids are blended (LIIF).
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
    ) -> None:
        super().__init__()
        self.local_grid = local_grid if local_attention else (1, 1)
        self.cell_decoding = cell_decoding
        self.local_ensemble = local_ensemble
        self.to_v = nn.Conv2d(dim, dim, 3, padding=1)
        self.to_q = nn.Conv2d(dim, dim, 3, padding=1) if local_attention else None
        self.to_k = nn.Conv2d(dim, dim, 3, padding=1) if local_attention else None
        widths = [self.local_grid[0] * self.local_grid[1] * dim + 2 * cell_decoding, *decoder_hidden]
        layers: list[nn.Module] = []
        for width_in, width_out in zip(widths, widths[1:], strict=False):
            layers += [nn.Linear(width_in, width_out), nn.GELU()]
        self.decoder = nn.Sequential(*layers, nn.Linear(widths[-1], 3))

    def forward(
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
            size=(feature.shape[-2], feature.shape[-1]),
            cell=cell * size_tensor((feature.shape[-2], feature.shape[-1]), cell),
            pos_bias=pos_bias,
        )
        chunks = [coord] if max_queries is None else coord.split(max_queries, dim=1)
        if self.local_ensemble:
            return torch.cat([self._ensemble(maps, chunk) for chunk in chunks], dim=1)
        return torch.cat([self._predict(maps, chunk, chunk) for chunk in chunks], dim=1)

    def _predict(self, maps: "_Maps", coord: Tensor, centre: Tensor) -> Tensor:
        """Decode the queries at ``coord``, with local grids about the pixels nearest to ``centre`` (both (B, Q, 2))."""
        index = nearest_index(centre, maps.size)  # B, Q, 2
        values = gather_local_grid(maps.v, index, self.local_grid)  # B, Q, N, C
        if maps.q is not None and maps.k is not None and maps.pos_bias is not None:
            offsets = local_grid_offsets(self.local_grid, device=coord.device)
            bias = maps.pos_bias(relative_coordinates(coord, index, offsets, maps.size))  # B, Q, N, heads
            keys = gather_local_grid(maps.k, index, self.local_grid)
            values = weight_values(attention_weights(sample_bilinear(maps.q, coord), keys, bias), values)
        decoder_input = values.flatten(2)  # B, Q, N * C
        if self.cell_decoding:
            decoder_input = torch.cat([decoder_input, maps.cell.unsqueeze(1).expand(-1, coord.shape[1], -1)], dim=-1)
        return self.decoder(decoder_input)

    def _ensemble(self, maps: "_Maps", coord: Tensor) -> Tensor:
        """Blend four predictions, each weighted by the area towards the opposite corner (LIIF, Fig. 2)."""
        extent = size_tensor(maps.size, coord)
        none = torch.zeros(1, 2, dtype=torch.long, device=coord.device)
        predictions, areas = [], []
        for shift in ((-1, -1), (-1, 1), (1, -1), (1, 1)):
            shifted = coord + size_tensor(shift, coord) / extent + 1e-6  # half an LR pixel
            shifted = shifted.clamp(-1 + 1e-6, 1 - 1e-6)
            delta = relative_coordinates(coord, nearest_index(shifted, maps.size), none, maps.size)  # B, Q, 1, 2
            predictions.append(self._predict(maps, coord, shifted))
            areas.append(delta.prod(-1).abs() + 1e-9)  # B, Q, 1
        total = torch.stack(areas).sum(0)
        return sum((p * a / total for p, a in zip(predictions, reversed(areas), strict=True)), torch.zeros_like(total))


class _Maps(NamedTuple):
    """What all queries of a branch share: q (B, C, H, W), k and v padded for the local grid, and (H, W)."""

    q: Tensor | None
    k: Tensor | None
    v: Tensor
    size: Size
    cell: Tensor
    pos_bias: nn.Module | None


class PositionalBias(nn.Linear):
    """Relative positional bias B = FC(gamma(delta)), paper eq. 5; (..., 2) -> (..., heads)."""

    frequencies: Tensor

    def __init__(self, *, num_heads: int, encoding: str) -> None:
        frequencies = encoding_frequencies(encoding)
        super().__init__(encoding_dim(frequencies), num_heads)
        self.register_buffer("frequencies", frequencies, persistent=False)

    def forward(self, delta: Tensor) -> Tensor:
        return super().forward(positional_encoding(delta, self.frequencies))


@ARCH_REGISTRY.register()
class CLIT(ArbitraryScaleArch):
    """Cascaded Local Implicit Transformer; with one branch, the Local Implicit Transformer.

    The defaults are the paper's. Branch i + 1 works on the features resized to the i-th of ``stage_sizes``; the
    residual image is sum over i of discount^(N - i) I_i (eq. 9). The four convolutions of section 3.2 are
    ``conv_feat`` and each branch's q, k and v; the branches share the positional bias, as in the released code.

    Args:
        encoder: Options of the encoder, see ``build_encoder``.
        num_branches: N, at least 1.
        dim: Channels of the features, a multiple of ``num_heads``.
        num_heads: Attention heads.
        local_grid: G, odd, or (G_h, G_w) (Table 4: 1 to 25).
        decoder_hidden: Widths of the decoder's hidden layers; GELU between them.
        positional_encoding: ``released`` (16 frequencies), ``eq6`` (the paper's 10) or ``none`` (-b: the bias is a
            linear function of the relative coordinates).
        local_attention: False: -a of Table 3, the nearest value alone is decoded.
        cell_decoding: False: -c of Table 3.
        local_ensemble: True: +e of Table 3.
        discount: lambda of eq. 9.

    Raises:
        ValueError: An argument outside these bounds.
    """

    def __init__(
        self,
        *,
        encoder: Mapping[str, Any],
        num_branches: int = 1,
        dim: int = 256,
        num_heads: int = 8,
        local_grid: int | Sequence[int] = 7,
        decoder_hidden: Sequence[int] = (256, 256, 256, 256),
        positional_encoding: str = "released",
        local_attention: bool = True,
        cell_decoding: bool = True,
        local_ensemble: bool = False,
        discount: float = 0.75,
    ) -> None:
        grid = (local_grid, local_grid) if isinstance(local_grid, int) else tuple(local_grid)
        if len(grid) != 2 or any(n < 1 or n % 2 == 0 for n in grid):
            raise ValueError(f"local_grid: expected an odd number or a pair of them, got {local_grid}")
        if num_branches < 1:
            raise ValueError(f"num_branches: expected at least 1, got {num_branches}")
        if num_heads < 1 or dim < 1 or dim % num_heads:
            raise ValueError(f"dim: expected a positive multiple of num_heads ({num_heads}), got {dim}")
        if any(width < 1 for width in decoder_hidden):
            raise ValueError(f"decoder_hidden: expected positive widths, got {list(decoder_hidden)}")
        super().__init__(encoder=encoder)
        self.num_branches = num_branches
        self.local_grid = (grid[0], grid[1])
        self.discount = discount
        self.conv_feat = nn.Conv2d(out_channels(self.encoder), dim, 3, padding=1)
        self.pos_bias = PositionalBias(num_heads=num_heads, encoding=positional_encoding) if local_attention else None
        self.branches = nn.ModuleList(
            Branch(
                dim=dim,
                local_grid=self.local_grid,
                decoder_hidden=decoder_hidden,
                local_attention=local_attention,
                cell_decoding=cell_decoding,
                local_ensemble=local_ensemble,
            )
            for _ in range(num_branches)
        )

    def residual(
        self, lq: Tensor, coord: Tensor, cell: Tensor, stage_sizes: Sequence[Size], max_queries: int | None
    ) -> Tensor:
        feature = self.conv_feat(self.encoder(lq))
        total: Tensor | None = None
        for size, branch in zip([None, *stage_sizes], self.branches, strict=False):
            # The released code resizes these features, the paper the encoder's output (eq. 8).
            resized = feature if size is None else resize_bilinear(feature, size)
            image = branch(resized, coord, cell, self.pos_bias, max_queries)
            total = image if total is None else image + self.discount * total
        assert total is not None  # there is at least one branch
        return total

    def default_max_queries(self, batch: int) -> int:
        """As many as keep a branch's gathered keys, values and sinusoids within about 256 MB."""
        pixels = self.local_grid[0] * self.local_grid[1] if self.pos_bias is not None else 1
        encoded = 0 if self.pos_bias is None else 2 * self.pos_bias.in_features
        floats = pixels * (4 * self.conv_feat.out_channels + encoded)
        return max(1, _CHUNK_BYTES // (4 * floats * batch))
