"""Memory: which tiles fit into what there is, and too little of it told in one line."""

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
from clit_plugin.ops.sizes import by
from clit_plugin.utils.byte_sizes import byte_size
from clit_plugin.utils.errors import UserError
from clit_plugin.utils.memory_left import memory_left

_BYTES_PER_PIXEL = 36  # of an output: three colours in float32, as residual, as image and on their way to a file
_STRIP = 60  # bytes of a strip's pixel: three colours in float32, with its weights, as samples, filtered for PNG
_OUT = 60  # bytes of a tile's output pixel: the branches' residuals and the image
_HEAD_BYTES = {"cpu": 500_000_000, "cuda": 4_000_000_000}  # what decoding takes at most, whatever the tile
_HEAD_BYTES_PER_PIXEL = 2**16  # what it takes of a small tile
_PROBE = 64  # side of the image on which an encoder is measured
_SHARE = 0.8  # of what is free
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
_LIBRARY = 1.4  # what convolutions take beside their results


class Budget(NamedTuple):
    """Bytes that may be taken.

    device: Where the network is; None: it is not known.
    host: Of the main memory; the same where that is the device.
    limited: Whether the user has set the bound.
    """

    device: int | None
    host: int | None
    limited: bool


def budget(device: torch.device, max_memory: float | None) -> Budget:
    """What may be taken of the memory of ``device``, and of the host's.

    Args:
        device: Where the network is.
        max_memory: Bytes that this process may have there, with what it has already; by default 0.8 of what is free.
    """
    free, host = memory_left(device), memory_left()
    device_share, host_share = (None if left is None else int(_SHARE * left) for left in (free, host))
    if max_memory is not None:
        device_share = max(0, int(max_memory) - _taken(device))
    if device.type == "cpu":
        host_share = device_share
    return Budget(device_share, host_share, max_memory is not None)


def choose_tiling(
    net: ArbitraryScaleArch, lq: Size, size: Size, limit: Budget, *, tile: int | None, kept: int, name: str
) -> Tiling:
    """The largest tiles, up to 512 pixels, that fit into the memory.

    Args:
        net: The network; it has parts.
        lq: (H, W) of the image.
        size: (H_out, W_out).
        limit: What may be taken.
        tile: Side that the user asks for; 0: the whole image; None: what fits.
        kept: Bytes a pixel of the output that are kept until the file is written.
        name: What an error calls the image.

    Raises:
        UserError: The smallest tiles do not fit.
    """
    margin, overlap = margin_of(net)
    if tile is not None:
        side = tile or -(-max(lq) // ALIGNMENT) * ALIGNMENT
        return Tiling(tile=side, rows=side, margin=margin, overlap=min(overlap, side // 2 // ALIGNMENT * ALIGNMENT))
    encoder, device = _encoder_bytes(net), device_of(net)
    head = _HEAD_BYTES.get(device.type, _HEAD_BYTES["cpu"])
    least = 0.0
    for side, rows in _SIDES:
        given = min(lq[0], rows + 2 * margin) * min(lq[1], side + 2 * margin)
        height, width = (min(n, n_tile + overlap) / n for n, n_tile in zip(lq, (rows, side), strict=True))
        of_tile = given * encoder + min(head, given * _HEAD_BYTES_PER_PIXEL) + height * width * size[0] * size[1] * _OUT
        of_strip = (kept + height * _STRIP) * size[0] * size[1]
        here = of_tile + of_strip * (device.type == "cpu")
        if _fits(here, limit.device) and _fits(of_strip, limit.host):
            return Tiling(tile=side, rows=rows, margin=margin, overlap=min(overlap, rows // 2 // ALIGNMENT * ALIGNMENT))
        least = max(here, of_strip)
    if limit.limited:
        told = (least + _taken(device)) / 1e9
        raise UserError(f"{name}: --max-memory is too little for {by(size)} pixels; about {told:.1f} GB are needed")
    left = min(share for share in limit[:2] if share is not None) / _SHARE / 1e9
    raise UserError(
        f"{name}: {by(size)} pixels need about {least / 1e9:.1f} GB even in the smallest tiles, and {left:.1f} GB are "
        "left; give a smaller scale or size"
    )


def check_memory(size: tuple[int, int], device: torch.device, *, name: str) -> None:
    """Raise UserError where an output of (H, W) ``size``, held whole, is more than ``device`` has left.

    A CPU would otherwise promise the memory, and the system kill the process later.
    """
    needed, free = _BYTES_PER_PIXEL * size[0] * size[1], memory_left(device)
    if free is not None and needed > free:
        raise UserError(
            f"{name}: an output of {by(size)} pixels takes about {byte_size(needed)}, and {device} has "
            f"{byte_size(free)} left; give a smaller scale or size"
        )


def is_out_of_memory(error: RuntimeError) -> bool:
    """Whether it is what torch raises for lack of memory, on any device."""
    return isinstance(error, torch.OutOfMemoryError) or "alloc" in str(error)


@contextmanager
def memory_errors(name: str, device: torch.device, remedy: str) -> Iterator[None]:
    """Turn what torch raises for lack of memory into a UserError with a remedy."""
    try:
        yield
    except RuntimeError as error:
        if is_out_of_memory(error):
            raise UserError(f"{name}: not enough memory on {device}; give {remedy}") from error
        raise


def _fits(needed: float, share: int | None) -> bool:
    return share is None or needed <= share


def _taken(device: torch.device) -> int:
    """Bytes that this process has there already, as far as the system tells."""
    if device.type == "cuda":
        return torch.cuda.memory_reserved(device)
    try:
        return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * 4096
    except (OSError, ValueError, IndexError):
        return 500_000_000


@torch.no_grad()
def _encoder_bytes(net: ArbitraryScaleArch) -> float:
    """Bytes a pixel that the encoder holds at its peak, and the head's copies of the features."""
    parameter = next(net.parameters())
    image = torch.zeros(1, 3, _PROBE, _PROBE, device=parameter.device, dtype=parameter.dtype)
    with LiveBytes() as counted:
        features: Tensor = net.encoder(image)
    conv: nn.Module | None = getattr(net, "conv_feat", None)
    head = 2 * (conv.out_channels if isinstance(conv, nn.Conv2d) else features.shape[1])
    return _LIBRARY * counted.peak / _PROBE**2 + head * features.element_size()
