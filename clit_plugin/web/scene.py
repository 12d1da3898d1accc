"""A picture and the networks that enlarge it: decodes tiles at any factor, and returns attention maps."""

import io
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from clit_plugin.archs.arbitrary_scale_arch import ArbitraryScaleArch
from clit_plugin.archs.clit_arch import CLIT
from clit_plugin.data.image_header import read_header
from clit_plugin.inference.about import About
from clit_plugin.inference.load_network import load_described
from clit_plugin.inference.pictures import Picture, decode_picture
from clit_plugin.ops.coordinates import Size
from clit_plugin.ops.parts import Part, Span, span_below
from clit_plugin.ops.sizes import wxh
from clit_plugin.ops.stages import greedy_stage_sizes
from clit_plugin.utils.errors import UserError
from clit_plugin.web.features import CachedFeatures, FeatureStore

MAX_PIXELS = 50_000_000  # of a picture
MAX_SIDE = 32767  # pixels; browsers have no larger canvas


@dataclass(frozen=True, kw_only=True)
class Lens:
    """A network with its name, and the range of factors that it was trained for if its file records it."""

    net: ArbitraryScaleArch
    name: str
    scale_range: tuple[float, float] | None


def load_lens(weights: str, option_file: str | None, *, param_key: str | None, device: torch.device) -> Lens:
    """Load a network.

    Raises:
        UserError: As for ``load_network``, or the network only computes whole images.
    """
    loaded = load_described(weights, option_file, param_key=param_key)
    if loaded.net.head_reach is None:
        raise UserError(
            f"{weights}: {type(loaded.net).__name__} with these options computes whole images only, not tiles"
        )
    about = About.read(loaded.rest, weights)
    return Lens(net=loaded.net.to(device), name=about.name or Path(weights).stem, scale_range=about.scale_range)


def open_picture(content: bytes, name: str) -> Picture:
    """Decode the content of an untrusted file, after checking the size that its header states.

    Raises:
        UserError: Not a picture, of an unsupported format, or too large.
    """
    header = read_header(io.BytesIO(content))
    if header is None:
        raise UserError(f"{name}: not a readable picture; open a PNG, JPEG, WebP or TIFF")
    if math.prod(header.size) > MAX_PIXELS:
        raise UserError(
            f"{name}: has {wxh(header.size)} pixels, more than {MAX_PIXELS // 10**6} million; open a part of it"
        )
    if max(header.size) > MAX_SIDE:
        raise UserError(
            f"{name}: has {wxh(header.size)} pixels, and browsers show at most {MAX_SIDE} per side; open a part of it"
        )
    return decode_picture(content, name)


class Scene:
    """A picture and the networks that enlarge it. Thread-safe.

    Args:
        picture: The opened picture.
        lenses: The networks, all on one device.
        store: Cache of their features.
    """

    def __init__(self, picture: Picture, lenses: list[Lens], store: FeatureStore) -> None:
        self.picture, self.lenses = picture, lenses
        self.lq = picture.rgb[None].to(next(lenses[0].net.parameters()).device)
        self.features = [CachedFeatures(lens.net, self.lq, store) for lens in lenses]

    @property
    def size(self) -> Size:
        """(H, W) of the picture."""
        return self.picture.size

    def close(self) -> None:
        """Free the cached features."""
        for features in self.features:
            features.forget()

    @torch.inference_mode()
    def tile(
        self, lens: int, size: Size, rows: Span, columns: Span, *, visible: tuple[Span, Span] | None = None
    ) -> Tensor:
        """Decode a tile: the given rows and columns of ``upscale(lq, size)``, (3, h, w), on the CPU, not clamped.

        Args:
            lens: Index of the network.
            size: (H, W) of the output.
            rows: Rows of the output.
            columns: Columns of the output.
            visible: Rows and columns of the output that are on screen, whose tiles will be requested next.
        """
        net = self.lenses[lens].net
        lq, features, origin = self._lr_inputs(lens, size, (rows, columns), visible)
        part = Part(self.size, origin, rows, columns)
        return net.upscale_part(lq, size, part, features=features)[0].float().cpu()

    @torch.inference_mode()
    def attention(self, lens: int, size: Size, pixel: tuple[int, int]) -> list[dict[str, Any]]:
        """Local attention of an output pixel (y, x), in every branch in use.

        Returns:
            For each branch, ``size`` [H, W] of its feature map, ``centre`` [y, x] of the local grid in it, ``grid``
            [G_h, G_w], and ``heads``: the attention weights of each head, row by row.

        Raises:
            UserError: The network has no attention.
        """
        net = self.lenses[lens].net
        if not isinstance(net, CLIT) or net.pos_bias is None:
            raise UserError(f"{self.lenses[lens].name}: has no local attention to show")
        rows, columns = ((n, n + 1) for n in pixel)
        lq, features, origin = self._lr_inputs(lens, size, (rows, columns))
        centre = [(2 * n + 1) / n_out - 1 for n, n_out in zip(pixel, size, strict=True)]
        stages = greedy_stage_sizes(self.size, size, net.num_branches)
        part = Part(self.size, origin, rows, columns)
        coord = torch.tensor([[centre]], device=lq.device)
        return [
            {
                "size": list(maps.size),
                "centre": maps.centre[0, 0].tolist(),
                "grid": list(net.local_grid),
                "heads": [[round(weight, 5) for weight in head] for head in maps.weights[0, 0].T.tolist()],
            }
            for maps in net.attention(lq, coord, stages, features, part)
        ]

    def _lr_inputs(
        self, lens: int, size: Size, part: tuple[Span, Span], visible: tuple[Span, Span] | None = None
    ) -> tuple[Tensor, Tensor, Size]:
        """What a part of the output depends on: LR pixels, their features, and the (y, x) of the first one."""
        rows, columns = self._lr_spans(lens, size, part)
        features = self.features[lens].crop(rows, columns, self._lr_spans(lens, size, visible) if visible else None)
        return self.lq[..., slice(*rows), slice(*columns)], features, (rows[0], columns[0])

    def _lr_spans(self, lens: int, size: Size, part: tuple[Span, Span]) -> tuple[Span, Span]:
        """Rows and columns of the picture that a part of the output depends on."""
        reach = self.lenses[lens].net.head_reach
        assert reach is not None
        rows, columns = (
            span_below(span, n, n_out, reach) for n, n_out, span in zip(self.size, size, part, strict=True)
        )
        return rows, columns
