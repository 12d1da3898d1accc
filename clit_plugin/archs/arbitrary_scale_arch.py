"""What every arbitrary-scale architecture shares: normalisation, whole images, the default cascade."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from clit_plugin.archs.encoders import build_encoder
from clit_plugin.fast.margins import NO_MARGINS, Margins, encode_inside
from clit_plugin.ops.coordinates import Size, make_cell, make_coord
from clit_plugin.ops.local_attention import sample_bilinear
from clit_plugin.ops.parts import Part, sample_bilinear_part, span_below, whole
from clit_plugin.ops.stages import check_sizes, check_stage_sizes, greedy_stage_sizes

Progress = Callable[[float], object]  # called with the number of output pixels done since the last call


class ArbitraryScaleArch(nn.Module, ABC):
    """An encoder and a head that predicts colours at any coordinate.

    Args:
        encoder: Options of the encoder, see ``build_encoder``.

    Attributes:
        num_branches: Stages of the cascade.
        bilinear_skip: Whether the head predicts a residual over the bilinear image, or the image itself.
    """

    num_branches: int = 1
    bilinear_skip: bool = True

    def __init__(self, *, encoder: Mapping[str, Any]) -> None:
        super().__init__()
        self.encoder = build_encoder(encoder)

    @property
    def head_reach(self) -> int | None:
        """Radius, in LR pixels around its own, of the features that a query depends on.

        None: unlimited or unknown, so that ``upscale_part`` is not available.
        """
        return None

    @abstractmethod
    def residual(
        self, lq: Tensor, coord: Tensor, cell: Tensor, stage_sizes: Sequence[Size], max_queries: int | None
    ) -> Tensor:
        """The network's prediction (B, Q, 3) for ``lq`` in [-1, 1], in the same units; see ``bilinear_skip``."""

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
        """``residual`` on a whole output grid, (B, 3, H_out, W_out), without gradients; see ``upscale``.

        ``part`` and ``features`` are those of ``upscale_part``; both are ignored where ``head_reach`` is None.
        """
        b, dtype = lq.shape[0], coordinate_dtype(lq)
        coord = make_coord(size, device=lq.device, dtype=dtype).expand(b, -1, -1)
        cell = make_cell(size, device=lq.device, dtype=dtype).expand(b, -1)
        return self.residual(lq, coord, cell, stage_sizes, max_queries).transpose(1, 2).unflatten(2, size)

    def features(self, lq: Tensor) -> Tensor:
        """The head's input (B, C, H, W) for ``lq`` in [-1, 1]."""
        return self.encoder(lq)

    def features_inside(self, lq: Tensor, margins: Margins) -> Tensor:
        """``features`` without the margins; without gradients."""
        return encode_inside(self.encoder, lq, margins)

    @torch.no_grad()
    def encode(self, lq: Tensor, margins: Margins = NO_MARGINS) -> Tensor:
        """``features`` of ``lq`` (B, 3, H, W), RGB in [0, 1], without gradients, to be reused by ``upscale_part``.

        Args:
            lq: An image or a part of one.
            margins: What of ``lq`` is context only; the features of the rest are returned.
        """
        return self.features_inside((lq - 0.5) / 0.5, margins)

    def forward(
        self, lq: Tensor, coord: Tensor, cell: Tensor, stage_sizes: Sequence[Sequence[int]] | None = None
    ) -> Tensor:
        """Colours at sampled queries.

        Args:
            lq: (B, 3, H, W), RGB in [0, 1].
            coord: (B, Q, 2) in [-1, 1], order (y, x), at pixel centres of the output.
            cell: (B, 2) = (2 / H_out, 2 / W_out).
            stage_sizes: The feature grids (H_i, W_i) between the branches; k grids use k + 1 branches. By default
                the greedy factors of 4 for the size that the smallest cell stands for.

        Returns:
            (B, Q, 3), RGB, about [0, 1] and not clamped.

        Raises:
            ValueError: Too many or bad ``stage_sizes``.
        """
        if stage_sizes is None:
            height, width = (round(2.0 / c) for c in cell.amin(0).tolist())
            stage_sizes = self._default_stages(lq, (height, width))
        lq = (lq - 0.5) / 0.5
        residual = self.residual(lq, coord, cell, check_stage_sizes(stage_sizes, self.num_branches), None)
        return self._colours(lq, coord, residual)

    @torch.no_grad()
    def upscale(
        self,
        lq: Tensor,
        size: Sequence[int],
        stage_sizes: Sequence[Sequence[int]] | None = None,
        max_queries: int | None = None,
        progress: Progress | None = None,
    ) -> Tensor:
        """A whole image, without gradients.

        Args:
            lq: (B, 3, H, W), RGB in [0, 1].
            size: (H_out, W_out), any positive integers: any scale, also one that differs per axis.
            stage_sizes: As in ``forward``.
            max_queries: How many pixels are decoded at a time, which bounds the memory; by default a number that is
                fast on the device and takes less than 256 MB.
            progress: Called with the number of output pixels done since the last call, B * H_out * W_out in total; a
                network may call it once, at the end.

        Returns:
            (B, 3, H_out, W_out), RGB, about [0, 1] and not clamped.

        Raises:
            ValueError: A ``size`` that is not two positive integers, ``max_queries`` below 1, or bad ``stage_sizes``.
        """
        ((height, width),) = check_sizes([size], "size")
        if max_queries is not None and max_queries < 1:
            raise ValueError(f"max_queries: expected at least 1, got {max_queries}")
        if stage_sizes is None:
            stage_sizes = self._default_stages(lq, (height, width))
        stages = check_stage_sizes(stage_sizes, self.num_branches)
        lq = (lq - 0.5) / 0.5
        residual = self.residual_image(lq, (height, width), stages, max_queries, progress)
        coord = make_coord((height, width), device=lq.device, dtype=coordinate_dtype(lq)).expand(lq.shape[0], -1, -1)
        image = self._colours(lq, coord, residual.flatten(2).transpose(1, 2))
        return image.transpose(1, 2).unflatten(2, (height, width)).to(lq.dtype)

    @torch.no_grad()
    def upscale_part(
        self,
        lq: Tensor,
        size: Size,
        part: Part,
        max_queries: int | None = None,
        progress: Progress | None = None,
        features: Tensor | None = None,
    ) -> Tensor:
        """A part of the output of ``upscale``, from a part of the image; without gradients.

        The result equals that of the whole image, up to rounding, if ``lq`` covers everything that the part's pixels
        depend on: the encoder's receptive field and ``head_reach``.

        Args:
            lq: (B, 3, h, w), RGB in [0, 1]: the rows and columns of the whole image from ``part.origin`` on.
            size: (H_out, W_out) of the whole output.
            part: The position of ``lq``, and the rows and columns to compute.
            max_queries: As in ``upscale``.
            progress: As in ``upscale``.
            features: The same rows and columns of the output of ``encode``; the encoder is then skipped, and ``lq``
                needs a margin of ``head_reach`` only.

        Returns:
            (B, 3, rows, columns), RGB, about [0, 1] and not clamped.

        Raises:
            ValueError: ``part`` is not the whole image, and the network cannot compute parts.
        """
        if self.head_reach is None:
            if part != whole(part.lq_size, size):
                raise ValueError(f"{type(self).__name__} computes whole images only")
            return self.upscale(lq, size, max_queries=max_queries, progress=progress)
        if features is None:
            lq, features, part = self._encode_part(lq, size, part, self.head_reach)
        stages = greedy_stage_sizes(part.lq_size, size, self.num_branches)
        lq = (lq - 0.5) / 0.5
        image = self.residual_image(lq, size, stages, max_queries, progress, part, features)
        if self.bilinear_skip:
            image = image + sample_bilinear_part(lq, size, part, dtype=coordinate_dtype(lq))
        return (image * 0.5 + 0.5).to(lq.dtype)

    def _encode_part(self, lq: Tensor, size: Size, part: Part, reach: int) -> tuple[Tensor, Tensor, Part]:
        """The pixels of ``lq`` that the head needs, their features, and the part with their position."""
        slices, margins, origin = [], [], []
        for axis, span in ((1, part.columns), (0, part.rows)):
            start, stop = span_below(span, part.lq_size[axis], size[axis], reach)
            begin, given = part.origin[axis], lq.shape[axis - 2]
            inner = slice(max(start - begin, 0), min(stop - begin, given))
            slices.append(inner)
            margins += [inner.start, given - inner.stop]
            origin.append(begin + inner.start)
        features = self.encode(lq, Margins(*margins))
        return lq[..., slices[1], slices[0]], features, part._replace(origin=(origin[1], origin[0]))

    def _default_stages(self, lq: Tensor, size: Size) -> list[Size]:
        return greedy_stage_sizes((lq.shape[-2], lq.shape[-1]), size, self.num_branches)

    def _colours(self, lq: Tensor, coord: Tensor, residual: Tensor) -> Tensor:
        """Colours (B, Q, 3), about [0, 1], from the prediction and ``lq``, both in [-1, 1]."""
        if self.bilinear_skip:
            residual = residual + sample_bilinear(lq.to(coord.dtype), coord, padding_mode="border")
        return residual * 0.5 + 0.5


def coordinate_dtype(lq: Tensor) -> torch.dtype:
    """Coordinates need float32 at least: bfloat16 cannot tell the pixels of an image apart."""
    return torch.promote_types(lq.dtype, torch.float32)
