"""What LIIF, UltraSR, IPE, LTE and Meta-SR share: each query is decoded from one LR pixel, or a blend of four."""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from clit_plugin.archs.arbitrary_scale_arch import ArbitraryScaleArch, Progress, coordinate_dtype
from clit_plugin.archs.encoders.registry import out_channels
from clit_plugin.fast.device_memory import part_memory
from clit_plugin.ops.coordinates import Size, make_cell, pixel_centres, size_tensor
from clit_plugin.ops.local_ensemble import Neighbour, blend, ensemble_areas, ensemble_neighbours, nearest_neighbour
from clit_plugin.ops.parts import Part, whole

_QUERY_NUMBERS = 4  # of a query at a time for each channel of the latent, about


class LocalImplicitArch(ArbitraryScaleArch):
    """A head that decodes the latent of the nearest LR pixel together with the query's position relative to it.

    Subclasses define two methods: ``projection``, the linear map from features to the latent, and ``decode``.

    The latent is linear in the feature around the pixel, so that a convolution computes it once per LR pixel.
    The reference path gathers the feature around each query's pixel (LIIF's unfolding) and multiplies it there.

    Args:
        encoder: Options of the encoder, see ``build_encoder``.
        feature_unfold: Whether the latent depends on the 3 x 3 features around the pixel, or on the pixel's alone.
        local_ensemble: Whether the predictions from four pixels are blended.
        reference: Compute by the plain reference path, query by query, which gives the same numbers more slowly.

    Attributes:
        latent_bytes: Approximate size in bytes of the latents that are kept at a time for a whole image.
    """

    latent_bytes: int = 2**27

    def __init__(
        self, *, encoder: Mapping[str, Any], feature_unfold: bool, local_ensemble: bool, reference: bool
    ) -> None:
        super().__init__(encoder=encoder)
        self.kernel = 3 if feature_unfold else 1
        self.local_ensemble = local_ensemble
        self.reference = reference

    @property
    def head_reach(self) -> int | None:
        return 1 + self.kernel // 2  # a neighbour of the ensemble, or of Meta-SR's corner, and the pixels around it

    @property
    def unfolded_channels(self) -> int:
        """Number of features that a latent is computed from: C, or 9 C."""
        return out_channels(self.encoder) * self.kernel**2

    @abstractmethod
    def projection(self) -> tuple[Tensor, Tensor | None]:
        """Weight (D, C * kernel^2), channels first, and bias (D,), from the features around a pixel to its latent."""

    @abstractmethod
    def decode(self, latent: Tensor, delta: Tensor, cell: Tensor) -> Tensor:
        """Predictions (B, Q, 3).

        Args:
            latent: (B, Q, D), of each query's LR pixel.
            delta: (B, Q, 2), the query's position relative to the pixel, in half LR pixels.
            cell: (B, 1, 2), height and width of an output pixel in half LR pixels: 2 / scale.
        """

    def neighbours(self, coord: Tensor, cell: Tensor, size: Size) -> list[Neighbour]:
        """The LR pixels from which each query (B, Q, 2) is predicted; ``cell`` (B, 2) as in ``forward``."""
        return ensemble_neighbours(coord, size) if self.local_ensemble else [nearest_neighbour(coord, size)]

    def residual(
        self, lq: Tensor, coord: Tensor, cell: Tensor, stage_sizes: Sequence[Size], max_queries: int | None
    ) -> Tensor:
        feature = self.encoder(lq)
        size = (feature.shape[-2], feature.shape[-1])
        return self._predict(self._latents(self._pad(feature)), (0, 0), coord, cell, size)

    def residual_image(
        self,
        lq: Tensor,
        size: Size,
        stage_sizes: Sequence[Size],
        max_queries: int | None,
        progress: Progress | None = None,
        part: Part | None = None,
        features: Tensor | None = None,
    ) -> Tensor:
        features, dtype = self.encoder(lq) if features is None else features, coordinate_dtype(lq)
        part = part or whole((features.shape[-2], features.shape[-1]), size)
        lr_size, (y0, x0) = part.lq_size, part.origin
        # Bands are planned on the host, from the same numbers, without waiting for a GPU.
        rows, columns = (pixel_centres(n, dtype=dtype)[slice(*span)] for n, span in zip(size, part[2:], strict=True))
        cell = make_cell(size, dtype=dtype).unsqueeze(0)
        bands = self._bands(rows, cell, lr_size, lq.device)
        rows, columns, cell = rows.to(lq.device), columns.to(lq.device), cell.to(lq.device)
        max_queries = max_queries or self._fast_queries(features)
        images = []
        for feature in features.split(1):
            padded = self._pad(feature)
            parts: list[Tensor] = []
            for top, bottom, band in bands:
                latents = self._latents(padded[..., top - y0 : bottom - y0 + self.kernel - 1, :])
                coord = torch.stack(torch.meshgrid(rows[band], columns, indexing="ij"), -1).view(1, -1, 2)
                for chunk in coord.split(max_queries, 1):
                    parts.append(self._predict(latents, (top, x0), chunk, cell, lr_size))
                    if progress is not None:
                        progress(chunk.shape[1])
            images.append(torch.cat(parts, 1).view(1, *part.shape, 3))
        return torch.cat(images).permute(0, 3, 1, 2)

    def _predict(self, latents: Tensor, origin: Size, coord: Tensor, cell: Tensor, size: Size) -> Tensor:
        """Predictions from ``latents`` (B, h, w, D) of the LR pixels from ``origin`` on; the map's size is ``size``."""
        relative = (cell * size_tensor(size, cell)).unsqueeze(1)
        weight, bias = self.projection() if self.reference else (None, None)
        neighbours = self.neighbours(coord, cell, size)
        predictions = []
        for index, delta in neighbours:
            flat = (index[..., 0] - origin[0]) * latents.shape[2] + index[..., 1] - origin[1]  # B, Q
            flat = flat + torch.arange(len(latents), device=flat.device).unsqueeze(1) * latents[0, ..., 0].numel()
            latent = latents.flatten(0, 2).index_select(0, flat.flatten()).view(*flat.shape, -1)
            if weight is not None:
                latent = F.linear(latent, weight, bias)
            predictions.append(self.decode(latent, delta, relative))
        return blend(predictions, ensemble_areas(neighbours))

    def _pad(self, feature: Tensor) -> Tensor:
        return F.pad(feature, (self.kernel // 2,) * 4)

    def _latents(self, padded: Tensor) -> Tensor:
        """Latents of all pixels or, on the reference path, the unfolded features: (B, h, W, D)."""
        if self.reference:
            b, _, h, w = padded.shape
            unfolded = F.unfold(padded, self.kernel)
            return unfolded.transpose(1, 2).reshape(b, h - self.kernel + 1, w - self.kernel + 1, -1)
        weight, bias = self.projection()
        latents = F.conv2d(padded, weight.view(len(weight), -1, self.kernel, self.kernel), bias)
        return latents.permute(0, 2, 3, 1).contiguous()

    def _bands(self, rows: Tensor, cell: Tensor, size: Size, device: torch.device) -> list[tuple[int, int, slice]]:
        """Cut the output's rows so that the latents of the LR rows [top, bottom) under them stay small on ``device``.

        ``rows`` and ``cell`` are on the host.
        """
        budget = self.latent_bytes if device.type == "cpu" else max(self.latent_bytes, part_memory(device) // 4)
        max_rows = max(8, budget // (4 * self._latent_channels * size[1]))
        column = torch.zeros_like(rows)
        indices = [n.pixel[0, :, 0] for n in self.neighbours(torch.stack([rows, column], -1).unsqueeze(0), cell, size)]
        lowest, highest = torch.stack(indices).amin(0).tolist(), torch.stack(indices).amax(0).tolist()
        bands, start = [], 0
        while start < len(rows):
            stop = start + 1
            while stop < len(rows) and highest[stop] - lowest[start] < max_rows:
                stop += 1
            bands.append((lowest[start], highest[stop - 1] + 1, slice(start, stop)))
            start = stop
        return bands

    def _fast_queries(self, features: Tensor) -> int:
        """Queries that are decoded at a time: on an accelerator as many as a part of its memory holds."""
        if features.device.type == "cpu":
            return 8192
        numbers = _QUERY_NUMBERS * max(256, self._latent_channels)
        return max(1, part_memory(features.device) // (numbers * features.element_size()))

    @property
    def _latent_channels(self) -> int:
        return self.unfolded_channels if self.reference else len(self.projection()[0])


def check_hidden(widths: Sequence[int]) -> Sequence[int]:
    """Return ``widths``.

    Raises:
        ValueError: It is empty; these systems have at least one hidden layer.
    """
    if not widths:
        raise ValueError("decoder_hidden: expected positive widths, got []")
    return widths
