"""When an output grid is computed by the fused kernels."""

import logging
import math
import time
from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from clit_plugin.fast.axis import BiasedAxis, make_axis
from clit_plugin.fast.fused_check import tolerance
from clit_plugin.fast.fused_choice import allows_tf32, counted_on, runs_on, supported, tried
from clit_plugin.fast.fused_grid import FusedGrid, attention_tile
from clit_plugin.fast.fused_tiles import Shapes
from clit_plugin.fast.grid_attention import attend_grid
from clit_plugin.fast.grid_decoder import Head
from clit_plugin.fast.tile_tables import Area, Window
from clit_plugin.ops.coordinates import Size, pixel_centres

_LARGEST = 8192  # bytes of a head's keys in a local grid, for which a program has registers

_WORTH = 2**20  # queries
_ALL = 2**22  # queries of a strip

_log = logging.getLogger("basicsr")
_usable: dict[Any, bool] = {}


def fused_grid(table: Tensor, head: Head, grid: Size, queries: int) -> FusedGrid | None:
    """The kernels for an image of so many pixels, or None where torch's operations are to be used.

    That is, besides the conditions of ``fused_arithmetic``, for images below a megapixel, for which nobody wants to
    wait until kernels are compiled; for large local grids with large heads; and where the kernels prove slower at their
    first use in this process.

    Args:
        table: What the maps of q, k and v are like, (1, C, ., .).
        head: Weights.
        grid: (G_h, G_w), odd.
        queries: Pixels of the output.
    """
    device, counted = table.device, counted_on(table.device)
    if queries < _WORTH or not (counted or runs_on(device)):
        return None
    shapes = Shapes(head.num_heads, table.shape[1] // head.num_heads, len(head.first), grid)
    if not (supported(shapes, table.dtype, head.first.dtype) and fits(shapes, table.dtype)):
        return None
    if counted:
        return FusedGrid(shapes, table.dtype, tf32=allows_tf32(), kernels=counted)
    key = (shapes, table.dtype, allows_tf32(), device)
    if key not in _usable:
        if torch.cuda.is_current_stream_capturing():
            return None  # now nothing can be compared
        _usable[key] = first_use(shapes, table.dtype, tf32=allows_tf32(), device=device)
    return FusedGrid(shapes, table.dtype, tf32=allows_tf32()) if _usable[key] else None


def fits(shapes: Shapes, dtype: torch.dtype) -> bool:
    """Whether local grid and heads are small enough for the kernels."""
    tile = attention_tile(shapes, dtype)
    return tile["pixels_tile"] * tile["depth_tile"] * dtype.itemsize <= _LARGEST


def first_use(shapes: Shapes, dtype: torch.dtype, *, tf32: bool, device: torch.device) -> bool:
    """Whether the kernels compile, agree with torch's operations and are faster; one line in the log."""
    heads, depth, _, grid = shapes
    what = f"Fused evaluation of images ({heads} heads of {depth}, grid {grid}, {str(dtype)[6:]})"
    compared = tried(what, lambda: compare(FusedGrid(shapes, dtype, tf32=tf32), device, torch.cuda.synchronize), device)
    if compared is None:
        return False
    difference, times = compared
    allowed, (fused, torchs) = tolerance(dtype, tf32=tf32), (f"{1e3 * each:.1f} ms" for each in times)
    if math.isnan(difference) or difference > allowed:
        _log.warning(f"{what} is off: its result is {difference:.1e} from torch's, {allowed:.0e} at most")
        return False
    if times[0] > times[1]:
        _log.info(f"{what} is off: it takes {fused}, torch's operations {torchs}")
        return False
    _log.info(f"{what} is on, within {difference:.1e} of torch's operations, {fused} instead of {torchs}")
    return True


def compare(
    fused: FusedGrid, device: torch.device, wait: Callable[[], object], size: Size = (48, 64), scale: int = 4
) -> tuple[float, tuple[float, float]]:
    """A small image by ``fused`` and by torch's operations: random numbers; no global random state is used.

    Args:
        fused: The kernels.
        device: Where.
        wait: Waits for the device.
        size: (H, W) of the maps.
        scale: Of the output.

    Returns:
        The largest difference from torch's operations in float32, relative to the largest value, NaN where there is
        one; seconds that both take in the tables' dtype, the second time.
    """
    shapes, generator = fused.shapes, torch.Generator(device).manual_seed(0)

    def normal(*sides: int) -> Tensor:
        return torch.randn(*sides, device=device, generator=generator)

    rows, columns = (
        BiasedAxis(make_axis(pixel_centres(scale * n), n, side), normal(scale * n, side, shapes.heads))
        for n, side in zip(size, shapes.grid, strict=True)
    )
    inputs = shapes.pixels * shapes.channels
    last = nn.utils.skip_init(nn.Linear, shapes.features, 3, device=device)
    last.weight, last.bias = nn.Parameter(normal(3, shapes.features)), nn.Parameter(normal(3))
    first = normal(shapes.features, inputs) / inputs**0.5
    head = Head(first, normal(shapes.features), nn.Sequential(nn.GELU(), last), shapes.heads)
    maps = _Maps([normal(1, *size, shapes.channels).to(fused.dtype) for _ in range(3)], shapes.grid)

    def timed(maps: _Maps, kernels: FusedGrid | None) -> tuple[Tensor, float]:
        for _ in range(2):
            wait()
            start = time.perf_counter()
            image = attend_grid(maps, (rows, columns), head, _ALL, fused=kernels)
            wait()
        return image, time.perf_counter() - start

    actual, fused_time = timed(maps, fused)
    _, torch_time = timed(maps, None)
    exact, _ = timed(_Maps([each.float() for each in maps.sources], shapes.grid), None)
    return float((actual - exact).abs().max() / exact.abs().max()), (fused_time, torch_time)


class _Maps:
    """``MapTiles`` of maps that are known, (1, H, W, C) each."""

    def __init__(self, maps: Sequence[Tensor], grid: Size) -> None:
        self.size: Size = (maps[0].shape[1], maps[0].shape[2])
        self.halo: Size = (max(1, grid[0] // 2), max(1, grid[1] // 2))
        self.sources = tuple(maps)

    def windows(self, area: Area | None = None) -> list[Window]:
        return [Window(0, 1, 0, self.size[0], 0, self.size[1])]

    def select(self, sources: Sequence[Tensor], window: Window) -> list[Tensor]:
        return list(sources)

    def read(self, parts: Sequence[Tensor], window: Window) -> list[Tensor]:
        (y, x) = self.halo
        return [F.pad(each, (0, 0, x, x, y, y)).transpose(0, 1) for each in parts]
