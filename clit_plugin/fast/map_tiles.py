"""The maps of q, k and v that convolutions make of a feature, tile by tile: at its own size, and resized."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from clit_plugin.fast.tile_tables import Area, MapTiles, Window
from clit_plugin.fast.upsampled_maps import interpolate_taps, source_range, tap_interpolation, tap_products
from clit_plugin.fast.winograd import convolve_together
from clit_plugin.ops.coordinates import Size

_MANY = 128  # channels, from which on minimal filtering is faster than one convolution for all the maps


class WholeTiles:
    """The maps of other tiles that have a single window, made at once: its sources are the maps themselves.

    Whatever autograd needs of how they were made it keeps, and they are not made anew in the backward pass.
    """

    def __init__(self, tiles: MapTiles) -> None:
        (self.window,) = tiles.windows()
        self.size, self.halo = tiles.size, tiles.halo
        self.sources = tuple(tiles.read(tiles.select(tiles.sources, self.window), self.window))

    def windows(self, area: Area | None = None) -> list[Window]:
        return [self.window]

    def select(self, sources: Sequence[Tensor], window: Window) -> list[Tensor]:
        return list(sources)

    def read(self, parts: Sequence[Tensor], window: Window) -> list[Tensor]:
        return list(parts)


class NativeTiles:
    """The maps at the feature's own size.

    Args:
        feature: (B, C, H, W).
        convs: The 3x3 convolutions that make the maps.
        halo: See ``MapTiles``.
        pixels: About how many pixels a tile has, with its halo; None: all of the batch is one tile.
        max_window: Rows and columns of a window, at most.
        together: Whether the convolutions of a tile are computed together, without gradients.
        whole: (H, W) of the map of which ``feature`` is a part; its own by default.
        origin: (y, x) of the part in it. The part covers what the windows that are asked for depend on.
    """

    def __init__(
        self,
        feature: Tensor,
        convs: Sequence[nn.Conv2d],
        *,
        halo: Size,
        pixels: int | None = None,
        max_window: Size | None = None,
        together: bool = False,
        whole: Size | None = None,
        origin: Size = (0, 0),
    ) -> None:
        self.size = whole or (feature.shape[-2], feature.shape[-1])
        self.origin = origin
        self.halo, self.pixels, self.max_window = halo, pixels, max_window
        self.convs, self.together = convs, together
        self.images = len(feature)
        self.sources: tuple[Tensor, ...] = (feature,)

    def windows(self, area: Area | None = None) -> list[Window]:
        if self.pixels is None:
            return [Window(0, self.images, 0, self.size[0], 0, self.size[1])]
        return _windows(self.images, area or _all(self.size), self.halo, self.pixels, self.max_window)

    def select(self, sources: Sequence[Tensor], window: Window) -> list[Tensor]:
        rows, columns = (_given(*seen, first) for seen, first in zip(self._seen(window), self.origin, strict=True))
        return [sources[0][window.first : window.last, :, rows, columns]]

    def _seen(self, window: Window) -> tuple[tuple[int, int], tuple[int, int]]:
        """Rows and columns of the feature on which the window and its halo depend."""
        (_, _, top, bottom, left, right), (halo_y, halo_x) = window, self.halo
        return (
            (max(0, top - halo_y - 1), min(self.size[0], bottom + halo_y + 1)),
            (max(0, left - halo_x - 1), min(self.size[1], right + halo_x + 1)),
        )

    def read(self, parts: Sequence[Tensor], window: Window) -> list[Tensor]:
        if self.together and parts[0].shape[1] >= _MANY:
            maps = [each.transpose(0, 1) for each in convolve_together(parts[0], self.convs)]
        elif self.together:
            maps = [each.permute(2, 0, 3, 1) for each in _convolve_at_once(parts[0], self.convs)]
        else:
            maps = [conv(parts[0]).permute(2, 0, 3, 1) for conv in self.convs]
        # Zeros around the image; inside it the outermost row or column, which lacks neighbours, is cut off.
        (y0, y1), (x0, x1) = self._seen(window)
        (_, _, top, bottom, left, right), (halo_y, halo_x) = window, self.halo
        rows, columns = (y0 - top + halo_y, bottom + halo_y - y1), (x0 - left + halo_x, right + halo_x - x1)
        if self.together and not any((*rows, *columns)):
            return maps
        return [F.pad(each, (0, 0, *columns, 0, 0, *rows)).contiguous() for each in maps]


class UpsampledTiles:
    """The maps of a feature resized to ``size``, without a convolution at that size.

    Args:
        feature: (B, C, h, w), before the resizing.
        convs: The 3x3 convolutions that make the maps.
        size: (H, W) of the resized feature.
        halo: See ``MapTiles``.
        pixels: About how many pixels a tile has, with its halo.
        max_window: Rows and columns of a window, at most.
        keep_products: Whether W_t Z is computed once for the whole batch, as the gradient needs it, and tiles have as
            many images as fit into one; or both tile by tile, so that memory does not grow with the image.
        whole: As in ``NativeTiles``, of the map before the resizing.
        origin: Likewise.
    """

    def __init__(
        self,
        feature: Tensor,
        convs: Sequence[nn.Conv2d],
        *,
        size: Size,
        halo: Size,
        pixels: int,
        keep_products: bool,
        max_window: Size | None = None,
        whole: Size | None = None,
        origin: Size = (0, 0),
    ) -> None:
        self.size, self.halo = size, halo
        self.convs, self.keep_products = convs, keep_products
        self.small, self.origin = whole or (feature.shape[-2], feature.shape[-1]), origin
        self.images = len(feature)
        self.sources: tuple[Tensor, ...] = (feature,)
        if keep_products:
            pixels_first = feature.permute(2, 0, 3, 1)
            products = [tap_products(pixels_first, conv.weight) for conv in convs]
            self.sources = (*products, *(conv.bias for conv in convs if conv.bias is not None))
        self.pixels, self.max_window = pixels, max_window

    def windows(self, area: Area | None = None) -> list[Window]:
        area = area or _all(self.size)
        together = self.images if self.keep_products else 1
        return _windows(self.images, area, self.halo, self.pixels, self.max_window, together)

    def select(self, sources: Sequence[Tensor], window: Window) -> list[Tensor]:
        ranges = (source_range(*axis) for axis in self._axes(window))
        rows, columns = (_given(*seen, first) for seen, first in zip(ranges, self.origin, strict=True))
        images, n = slice(window.first, window.last), len(self.convs)
        if self.keep_products:
            return [product[:, rows, images, columns] for product in sources[:n]] + list(sources[n:])
        return [sources[0][images, :, rows, columns]]

    def read(self, parts: Sequence[Tensor], window: Window) -> list[Tensor]:
        n = len(self.convs)
        if self.keep_products:
            products, biases = list(parts[:n]), list(parts[n:])
        else:
            pixels_first = parts[0].permute(2, 0, 3, 1)
            products = [tap_products(pixels_first, conv.weight) for conv in self.convs]
            biases = [conv.bias for conv in self.convs if conv.bias is not None]
        rows, columns = (tap_interpolation(*axis, *source_range(*axis), products[0]) for axis in self._axes(window))
        # What of the tile lies inside the map, where there is a bias.
        y, x = (slice(max(0, -start), min(stop, size) - start) for start, stop, size, _ in self._axes(window))
        return [
            interpolate_taps(product, rows, columns, bias, (y, x))
            for product, bias in zip(products, biases, strict=True)
        ]

    def _axes(self, window: Window) -> tuple[tuple[int, int, int, int], tuple[int, int, int, int]]:
        """Start and stop of the tile, the map's and the small map's size, for rows and for columns."""
        (_, _, top, bottom, left, right), (halo_y, halo_x) = window, self.halo
        return (
            (top - halo_y, bottom + halo_y, self.size[0], self.small[0]),
            (left - halo_x, right + halo_x, self.size[1], self.small[1]),
        )


def _convolve_at_once(feature: Tensor, convs: Sequence[nn.Conv2d]) -> tuple[Tensor, ...]:
    """Of each convolution (1, C', H, W), without gradients."""
    weight = torch.cat([conv.weight for conv in convs])
    bias = torch.cat([conv.bias for conv in convs if conv.bias is not None])
    return F.conv2d(feature, weight, bias, padding=1).split([conv.out_channels for conv in convs], 1)


def _all(size: Size) -> Area:
    return (0, size[0]), (0, size[1])


def _given(start: int, stop: int, origin: int) -> slice:
    """Pixels [start, stop) of a map in a part of it that begins at ``origin``."""
    assert start >= origin, "the part that is given lacks pixels that the window depends on"
    return slice(start - origin, stop - origin)


def _windows(
    images: int, area: Area, halo: Size, pixels: int, max_window: Size | None, together: int = 1
) -> list[Window]:
    """Windows that have, with their halo, about so many pixels; of up to ``together`` whole images.

    They are about square unless ``max_window``, rows and columns, makes them narrower.
    """
    height, width = (stop - start + 2 * h for (start, stop), h in zip(area, halo, strict=True))
    together = max(1, min(together, pixels // (height * width)))
    if together > 1:
        (top, bottom), (left, right) = area
        parts = _even_parts(0, images, together)
        return [Window(first, last, top, bottom, left, right) for first, last in parts]
    side = max(8, int(pixels**0.5))
    longest = [max(1, side - 2 * each) for each in halo]
    if max_window is not None:
        longest = [min(sides) for sides in zip(longest, max_window, strict=True)]
    return [
        Window(image, image + 1, top, bottom, left, right)
        for image in range(images)
        for top, bottom in _even_parts(*area[0], longest[0])
        for left, right in _even_parts(*area[1], longest[1])
    ]


def _even_parts(start: int, stop: int, longest: int) -> list[tuple[int, int]]:
    n = stop - start
    count = -(-n // longest)
    cuts = [start + n * i // count for i in range(count + 1)]
    return list(zip(cuts, cuts[1:], strict=False))
