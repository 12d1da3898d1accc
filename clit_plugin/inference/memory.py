"""Choosing tiles that fit into the free memory, and one-line errors where none do."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from clit_plugin.archs.arbitrary_scale_arch import ArbitraryScaleArch
from clit_plugin.inference.live_bytes import LiveBytes
from clit_plugin.inference.tiles import ALIGNMENT
from clit_plugin.inference.tiling import Tiling, device_of, margin_of
from clit_plugin.ops.coordinates import Size
from clit_plugin.ops.sizes import wxh
from clit_plugin.utils.byte_sizes import byte_size
from clit_plugin.utils.errors import UserError
from clit_plugin.utils.memory_left import memory_left

_BYTES_PER_PIXEL = 36  # of a whole output: RGB in float32, three times: the residual, the image and its samples
_STRIP = 60  # bytes per pixel of a strip: RGB in float32, blending weights, samples, rows filtered for PNG
_OUT = 60  # bytes per output pixel of a tile: the branches' residuals and the image
_HEAD_BYTES = {"cpu": 500_000_000, "cuda": 4_000_000_000}  # the decoder's peak, whatever the tile
_HEAD_BYTES_PER_PIXEL = 2**16  # the decoder's peak per LR pixel of a small tile
_PROBE = 64  # side of the image on which the encoder is measured
_USABLE_SHARE = 0.8  # of the free memory
_SIDES = [
    (512, 512),
    (384, 384),
    (256, 256),
    (256, 128),
    (192, 192),
    (128, 128),
    (128, 64),
    (64, 64),
    (64, 32),
    (32, 16),
]
_WORKSPACE = 1.4  # of convolutions, as a factor on their results


class Budget(NamedTuple):
    """Bytes that may be used; None where the system does not report the free memory.

    device: On the network's device.
    host: In main memory; the same number if that is the device.
    limited: Whether the user has set the limit.
    """

    device: int | None
    host: int | None
    limited: bool


def budget(device: torch.device, max_memory: float | None) -> Budget:
    """How much memory may be used on ``device`` and on the host.

    Args:
        device: The network's device.
        max_memory: Bytes that this process may use there in total, including what it already holds; by default it may
            take 0.8 of the free memory.
    """
    free, host = memory_left(device), memory_left()
    device_share, host_share = (None if left is None else int(_USABLE_SHARE * left) for left in (free, host))
    if max_memory is not None:
        device_share = max(0, int(max_memory) - _used(device))
    if device.type == "cpu":
        host_share = device_share
    return Budget(device_share, host_share, max_memory is not None)


def choose_tiling(
    net: ArbitraryScaleArch, lq: Size, size: Size, limit: Budget, *, tile: int | None, caller_bytes: int, name: str
) -> Tiling:
    """The largest tiles, up to 512 pixels, that fit into the memory.

    Args:
        net: A network that can compute parts.
        lq: (H, W) of the image.
        size: (H_out, W_out).
        limit: The memory that may be used.
        tile: Side requested by the user; 0: the whole image; None: the largest that fits.
        caller_bytes: Bytes per output pixel that the caller keeps until the file is written.
        name: The image's name in errors.

    Raises:
        UserError: The smallest tiles do not fit.
    """
    margin, overlap = margin_of(net)
    if tile is not None:
        side = tile or -(-max(lq) // ALIGNMENT) * ALIGNMENT
        return Tiling(tile=side, rows=side, margin=margin, overlap=min(overlap, side // 2 // ALIGNMENT * ALIGNMENT))
    encoder, device = _encoder_bytes(net), device_of(net)
    head = _HEAD_BYTES.get(device.type, _HEAD_BYTES["cpu"])
    needed = 0.0
    for side, rows in _SIDES:
        pixels = min(lq[0], rows + 2 * margin) * min(lq[1], side + 2 * margin)
        height, width = (min(n, n_tile + overlap) / n for n, n_tile in zip(lq, (rows, side), strict=True))
        tile_bytes = pixels * encoder + min(head, pixels * _HEAD_BYTES_PER_PIXEL)
        tile_bytes += height * width * size[0] * size[1] * _OUT
        strip_bytes = (caller_bytes + height * _STRIP) * size[0] * size[1]
        device_bytes = tile_bytes + strip_bytes * (device.type == "cpu")
        if _fits(device_bytes, limit.device) and _fits(strip_bytes, limit.host):
            return Tiling(tile=side, rows=rows, margin=margin, overlap=min(overlap, rows // 2 // ALIGNMENT * ALIGNMENT))
        needed = max(device_bytes, strip_bytes)
    if limit.limited:
        used = _used(device)
        total = (needed + used) / 1e9
        raise UserError(
            f"{name}: {wxh(size)} pixels need about {total:.1f} GB, of which the program itself takes "
            f"{used / 1e9:.1f} GB; raise --max-memory (from Python: max_memory, in bytes)"
        )
    left = min(share for share in limit[:2] if share is not None) / _USABLE_SHARE / 1e9
    raise UserError(
        f"{name}: {wxh(size)} pixels need about {needed / 1e9:.1f} GB even in the smallest tiles, but only {left:.1f} "
        "GB are free; use a smaller scale or size"
    )


def check_memory(size: tuple[int, int], device: torch.device, *, name: str) -> None:
    """Raise UserError if a whole output of ``size`` (H, W) does not fit into the free memory of ``device``.

    Otherwise the system would overcommit main memory, and kill the process later.
    """
    needed, free = _BYTES_PER_PIXEL * size[0] * size[1], memory_left(device)
    if free is not None and needed > free:
        raise UserError(
            f"{name}: an output of {wxh(size)} pixels needs about {byte_size(needed)}, but {device} has only "
            f"{byte_size(free)} free; use a smaller scale or size"
        )


def is_out_of_memory(error: RuntimeError) -> bool:
    """Whether torch raised the error because memory ran out, on any device."""
    return isinstance(error, torch.OutOfMemoryError) or "alloc" in str(error)


@contextmanager
def memory_errors(name: str, device: torch.device, remedy: str) -> Iterator[None]:
    """Turn torch's out-of-memory errors into a UserError with a remedy."""
    try:
        yield
    except RuntimeError as error:
        if is_out_of_memory(error):
            raise UserError(f"{name}: not enough memory on {device}; {remedy}") from error
        raise


def _fits(needed: float, share: int | None) -> bool:
    return share is None or needed <= share


def _used(device: torch.device) -> int:
    """Bytes that this process already uses on the device; a guess where the system does not report them."""
    if device.type == "cuda":
        return torch.cuda.memory_reserved(device)
    try:
        return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * 4096
    except (OSError, ValueError, IndexError):
        return 500_000_000


@torch.no_grad()
def _encoder_bytes(net: ArbitraryScaleArch) -> float:
    """Peak memory of the encoder in bytes per LR pixel, with the head's copies of the features."""
    parameter = next(net.parameters())
    image = torch.zeros(1, 3, _PROBE, _PROBE, device=parameter.device, dtype=parameter.dtype)
    with LiveBytes() as counted:
        features: Tensor = net.encoder(image)
    conv: nn.Module | None = getattr(net, "conv_feat", None)
    head = 2 * (conv.out_channels if isinstance(conv, nn.Conv2d) else features.shape[1])
    return _WORKSPACE * counted.peak / _PROBE**2 + head * features.element_size()
