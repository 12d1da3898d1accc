"""One branch of the cascade (LIT without its encoder): the same function on three paths.

``reference`` is the paper's equations, query by query. ``sample`` (queries at any coordinate, with gradients) and
``render`` (a whole output grid) compute the same numbers with fewer operations and less memory.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from clit_plugin.archs.frequency_block import FrequencyBlock
from clit_plugin.archs.positional_bias import PositionalBias
from clit_plugin.fast.fused_choice import fused_arithmetic
from clit_plugin.ops.attention_maps import attention_maps
from clit_plugin.ops.axis import Axis, make_axis
from clit_plugin.ops.coordinates import (
    Size,
    local_grid_offsets,
    nearest_index,
    pixel_centres,
    relative_coordinates,
    size_tensor,
)
from clit_plugin.ops.dense_attention import DenseAxis, Head, attend_grid
from clit_plugin.ops.local_attention import (
    attention_weights,
    gather_local_grid,
    pad_for_local_grid,
    resize_bilinear,
    sample_bilinear,
    weight_values,
)
from clit_plugin.ops.local_ensemble import SHIFTS, blend, ensemble_areas, ensemble_neighbours
from clit_plugin.ops.map_tiles import MapTiles, PlainTiles, UpsampledTiles
from clit_plugin.ops.sparse_attention import attend_queries


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

    # ------------------------------------------------------------------ fast paths

    def sample(
        self, feature: Tensor, size: Size | None, coord: Tensor, cell: Tensor, pos_bias: PositionalBias | None
    ) -> Tensor:
        """Residual colours at sampled queries, with gradients.

        Args:
            feature: (B, C, h, w).
            size: The grid to which the feature is resized first; None for its own.
            coord: (B, Q, 2), as in ``CLIT.forward``.
            cell: (B, 2), likewise.
            pos_bias: None where there is no attention.

        Returns:
            (B, Q, 3).
        """
        if pos_bias is None:
            return self.reference(_resized(feature, size), coord, cell, None, None)
        tiles = self._tiles(feature, size, keep_products=True)
        values = self.local_grid[0] * self.local_grid[1] * feature.shape[1]
        first: nn.Linear = self.decoder[0]  # type: ignore[assignment]
        weight, num_heads = first.weight[:, :values], pos_bias.out_features
        fused = fused_arithmetic(tiles.sources[0], weight, num_heads, self.local_grid)
        constant = self._constant(cell, tiles.size).unsqueeze(1)  # B, 1, F
        predictions, areas = [], []
        for shift in self._shifts():
            axes = [make_axis(coord[..., i], tiles.size[i], self.local_grid[i], shift[i]) for i in (0, 1)]
            bias = (pos_bias.along(axes[0].delta, 0), pos_bias.along(axes[1].delta, 1))
            hidden = attend_queries(tiles, (axes[0], axes[1]), bias, weight, num_heads, self.local_grid, fused)
            predictions.append(self.decoder[1:](hidden + constant))
            areas.append((_central(axes[0]) * _central(axes[1])).abs().unsqueeze(-1))
        return blend(predictions, areas)

    def render(
        self,
        feature: Tensor,
        size: Size | None,
        out_size: Size,
        pos_bias: PositionalBias | None,
        max_queries: int,
        progress: Callable[[float], object] | None = None,
    ) -> Tensor:
        """Residual image (H_out, W_out, 3) of one image; without gradients.

        Args:
            feature: (1, C, h, w).
            size: As in ``sample``.
            out_size: (H_out, W_out).
            pos_bias: As in ``sample``.
            max_queries: How many queries a thread decodes at a time, at most.
            progress: As in ``ArbitraryScaleArch.upscale``.
        """
        dtype = torch.promote_types(feature.dtype, torch.float32)
        coords = [pixel_centres(n, device=feature.device, dtype=dtype) for n in out_size]
        cell = torch.stack([2.0 / size_tensor(out_size, coords[0])])
        if pos_bias is None:
            return self._render_nearest(_resized(feature, size), coords, cell, max_queries)
        tiles = self._tiles(feature, size, keep_products=False)
        values = self.local_grid[0] * self.local_grid[1] * feature.shape[1]
        first: nn.Linear = self.decoder[0]  # type: ignore[assignment]
        head = Head(
            first=first.weight[:, :values],
            bias=self._constant(cell, tiles.size)[0],
            rest=self.decoder[1:],
            num_heads=pos_bias.out_features,
        )
        shifts = self._shifts()
        part = None if progress is None else lambda pixels: progress(pixels / len(shifts))
        predictions, areas = [], []
        for shift in shifts:
            axes = [make_axis(coords[i], tiles.size[i], self.local_grid[i], shift[i]) for i in (0, 1)]
            dense = [DenseAxis(axis, pos_bias.along(axis.delta, i)) for i, axis in enumerate(axes)]
            predictions.append(attend_grid(tiles, (dense[0], dense[1]), head, max_queries, part))
            areas.append((_central(axes[0]).unsqueeze(-1) * _central(axes[1])).abs().unsqueeze(-1))
        return blend(predictions, areas)

    def _render_nearest(self, feature: Tensor, coords: list[Tensor], cell: Tensor, max_queries: int) -> Tensor:
        """Without attention all queries of a pixel are decoded to the same colour: decode each pixel once."""
        size = (feature.shape[-2], feature.shape[-1])
        pixels = self.to_v(feature).squeeze(0).flatten(1).T  # h * w, C
        first: nn.Linear = self.decoder[0]  # type: ignore[assignment]
        constant = self._constant(cell, size)
        rgb = torch.cat(
            [
                self.decoder[1:](part @ first.weight[:, : feature.shape[1]].T + constant)
                for part in pixels.split(max_queries)
            ]
        ).view(*size, 3)
        predictions, areas = [], []
        for shift in self._shifts():
            axes = [make_axis(coords[i], size[i], 1, shift[i]) for i in (0, 1)]
            predictions.append(rgb[axes[0].index][:, axes[1].index])
            areas.append((_central(axes[0]).unsqueeze(-1) * _central(axes[1])).abs().unsqueeze(-1))
        return blend(predictions, areas)

    def _tiles(self, feature: Tensor, size: Size | None, *, keep_products: bool) -> MapTiles:
        assert self.to_q is not None and self.to_k is not None  # there is attention
        convs = (self.to_q, self.to_k, self.to_v)
        halo = (max(1, self.local_grid[0] // 2), max(1, self.local_grid[1] // 2))
        pixels = _tile_pixels(feature)
        if size is None and keep_products:
            return PlainTiles(feature, convs, halo=halo)
        if size is None:
            # An accelerator's library chooses among such algorithms itself, and bfloat16 is too coarse for this one.
            exact = feature.device.type == "cpu" and not torch.is_autocast_enabled("cpu") and feature.itemsize >= 4
            return PlainTiles(feature, convs, halo=halo, pixels=pixels, together=exact)
        return UpsampledTiles(feature, convs, size=size, halo=halo, pixels=pixels, keep_products=keep_products)

    def _constant(self, cell: Tensor, size: Size) -> Tensor:
        """What the first layer adds to every query of an image: its bias and, times its weights, the cell (B, F)."""
        first: nn.Linear = self.decoder[0]  # type: ignore[assignment]
        if not self.cell_decoding:
            return first.bias.unsqueeze(0)
        relative = (cell * size_tensor(size, cell)).to(first.weight.dtype)
        return relative @ first.weight[:, -2:].T + first.bias

    def _shifts(self) -> Sequence[tuple[int, int]]:
        return SHIFTS if self.local_ensemble else ((0, 0),)

    # ------------------------------------------------------------------ reference path

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

    def attention(
        self, feature: Tensor, size: Size | None, coord: Tensor, pos_bias: PositionalBias
    ) -> tuple[Tensor, Tensor]:
        """The local attention maps of eq. 4 themselves, to be looked at.

        Args:
            feature: (B, C, h, w).
            size: As in ``sample``.
            coord: (B, Q, 2), likewise.
            pos_bias: Likewise.

        Returns:
            Weights (B, Q, N, heads), summing to 1 over the N = G_h * G_w pixels of the local grid, row by row; and
            the grid's centre pixel (B, Q, 2), the nearest to the query, in the map of ``size``. Under a local ensemble
            these are the maps of that grid, not of the four that are blended.

        Raises:
            ValueError: The branch has no attention.
        """
        if self.to_q is None:
            raise ValueError("local_attention is off in this network, it has no attention maps")
        weights, index = [], []
        for i in range(len(feature)):
            tiles = self._tiles(feature[i : i + 1], size, keep_products=False)
            rows, columns = (make_axis(coord[i, :, j], tiles.size[j], self.local_grid[j]) for j in (0, 1))
            by_row, by_column = pos_bias.along(rows.delta, 0), pos_bias.along(columns.delta, 1)
            bias = (by_row.unsqueeze(2) + by_column.unsqueeze(1)).flatten(1, 2)
            weights.append(attention_maps(tiles, rows, columns, bias, self.local_grid))
            index.append(torch.stack([rows.index, columns.index], -1))
        return torch.stack(weights), torch.stack(index)

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


def _resized(feature: Tensor, size: Size | None) -> Tensor:
    return feature if size is None else resize_bilinear(feature, size)


def _tile_pixels(feature: Tensor) -> int:
    """Pixels of a tile of q, k and v of one image: 64 MB on a CPU; on a GPU a 24th of its memory, at least 1 GB."""
    budget = 2**26 if feature.device.type == "cpu" else 2**30
    if feature.device.type == "cuda":
        budget = max(budget, torch.cuda.get_device_properties(feature.device).total_memory // 24)
    return budget // (3 * feature.shape[1] * feature.element_size())


def _central(axis: Axis) -> Tensor:
    """Position relative to the centre pixel itself."""
    return axis.delta[..., axis.delta.shape[-1] // 2]
