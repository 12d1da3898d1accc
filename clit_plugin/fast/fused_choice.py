"""When the fused kernels are used."""

import logging
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Literal, TypeVar

import torch
from torch import Tensor

from clit_plugin.fast.fused_attention import CROWDED, FusedAttention
from clit_plugin.fast.fused_check import largest_differences, tolerance
from clit_plugin.fast.fused_tiles import Shapes
from clit_plugin.ops.coordinates import Size

T = TypeVar("T")
Mode = Literal["auto", "tf32", "off"]

_log = logging.getLogger("basicsr")
_mode: Mode = "auto"
_usable: dict[Any, bool] = {}
_counted: Any = None


def set_fused(mode: Mode) -> None:
    """Choose for this process.

    ``auto``: wherever the kernels run and agree with torch's operations; ``tf32``: likewise, and float32 is multiplied
    with the 10 bits of the tensor cores; ``off``: torch's operations.
    """
    global _mode
    _mode = mode


@contextmanager
def counted_kernels(kernels: Any) -> Iterator[None]:
    """Launch ``kernels`` on tensors of the device ``meta``, which hold no numbers, as on a GPU with large tiles."""
    global _counted
    before, _counted = _counted, kernels
    try:
        yield
    finally:
        _counted = before


def fused_arithmetic(table: Tensor, weight: Tensor, num_heads: int, grid: Size) -> FusedAttention | None:
    """The kernels for such tables and W1, or None where torch's operations are to be used.

    That is without a GPU of compute capability 8.0 or without Triton, in float64, with more than 512 channels or
    features, where torch was asked for deterministic results, and where the first use in this process, which compares
    a few queries with torch's operations, fails or disagrees; the log says so.

    Args:
        table: One of the maps of q, k and v, (..., C).
        weight: W1, (F, N * C).
        num_heads: Attention heads.
        grid: (G_h, G_w), odd.
    """
    device, counted = table.device, counted_on(table.device)
    if not (counted or runs_on(device)):
        return None
    shapes = Shapes(num_heads, table.shape[-1] // num_heads, len(weight), grid)
    if counted and supported(shapes, table.dtype, weight.dtype):
        return FusedAttention(shapes, table.dtype, tf32=allows_tf32(), large=True, kernels=counted)
    if not supported(shapes, table.dtype, weight.dtype) or torch.are_deterministic_algorithms_enabled():
        return None
    key = (shapes, table.dtype, _mode, device)
    if key not in _usable:
        if torch.cuda.is_current_stream_capturing():
            return None  # now nothing can be compared
        _usable[key] = first_use(shapes, table.dtype, tf32=_mode == "tf32", device=device)
    return make_fused(shapes, table.dtype, _mode == "tf32", device) if _usable[key] else None


def counted_on(device: torch.device) -> Any:
    """The kernels that are only counted on the device ``meta``; None elsewhere, or if there are none."""
    return _counted if device.type == "meta" and _mode != "off" else None


def runs_on(device: torch.device) -> bool:
    """Whether kernels may run on ``device``."""
    return _mode != "off" and device.type == "cuda" and device.index == torch.cuda.current_device()


def allows_tf32() -> bool:
    """Whether float32 may be multiplied with 10 bits."""
    return _mode == "tf32"


def supported(shapes: Shapes, table: torch.dtype, weight: torch.dtype) -> bool:
    """Whether there are kernels for these shapes, and for tables and W1 of these dtypes."""
    dtypes = (torch.float32, torch.float16, torch.bfloat16)
    return table in dtypes and weight == torch.float32 and max(shapes.channels, shapes.features) <= 512


def first_use(shapes: Shapes, dtype: torch.dtype, *, tf32: bool, device: torch.device) -> bool:
    """Whether the kernels compile and agree with torch's operations; one line in the log."""
    what = f"Fused attention ({shapes.heads} heads of {shapes.depth}, grid {shapes.grid}, {str(dtype)[6:]})"

    def compare() -> list[tuple[str, float]]:
        differences: list[tuple[str, float]] = []
        for crowded in (0.0, math.inf):  # both ways to sum v's gradient
            fused = make_fused(shapes, dtype, tf32, device, crowded)
            differences += largest_differences(fused, shapes, dtype, device).items()
        return differences

    differences = tried(what, compare, device)
    if differences is None:
        return False
    worst, difference = max(differences, key=lambda each: (math.isnan(each[1]), each[1]))
    allowed = tolerance(dtype, tf32=tf32)
    if not difference <= allowed:
        _log.warning(f"{what} is off: its {worst} is {difference:.1e} from torch's, {allowed:.0e} at most")
        return False
    _log.info(f"{what} is on, within {difference:.1e} of torch's operations")
    return True


def tried(what: str, compare: Callable[[], T], device: torch.device) -> T | None:
    """What a comparison of kernels on a GPU returns; None, and a line in the log, where they cannot run.

    Whatever a compiler or a driver raises, torch's operations go on without the kernels.
    """
    try:
        if torch.cuda.get_device_capability(device) < (8, 0):
            raise RuntimeError("needs a GPU of compute capability 8.0")
        return compare()
    except Exception as error:
        reason = next(iter(str(error).strip().splitlines()), "")
        _log.warning(f"{what} is off: {type(error).__name__}: {reason}")
        return None


def make_fused(
    shapes: Shapes, dtype: torch.dtype, tf32: bool, device: torch.device, crowded: float = CROWDED
) -> FusedAttention:
    """The kernels for a GPU, with large tiles where its shared memory holds them; ``crowded``: see there."""
    properties = torch.cuda.get_device_properties(device)
    shared = getattr(properties, "shared_memory_per_block_optin", 0)
    return FusedAttention(shapes, dtype, tf32=tf32, large=shared >= 227 * 1024, crowded=crowded)
