"""Sinusoids of the relative coordinates (paper eq. 6)."""

import torch
from torch import Tensor

POSITIONAL_ENCODINGS = ("released", "eq6", "none")


def encoding_frequencies(name: str) -> Tensor:
    """Angular frequencies of a positional encoding, (L,).

    Args:
        name: ``eq6``: 2^0 ... 2^9, the paper's L = 10. ``released``: 2^linspace(0, 10, 16) - 1, as in the released
            code; the first is 0. ``none``: no frequencies, (0,).

    Raises:
        ValueError: Any other name.
    """
    if name == "released":
        return 2.0 ** torch.linspace(0.0, 10.0, 16) - 1.0
    if name == "eq6":
        return 2.0 ** torch.arange(10.0)
    if name == "none":
        return torch.empty(0)
    raise ValueError(f"positional_encoding: expected one of {', '.join(POSITIONAL_ENCODINGS)}, got {name!r}")


def positional_encoding(delta: Tensor, frequencies: Tensor) -> Tensor:
    """Encode relative coordinates.

    Args:
        delta: (..., 2) relative coordinates (y, x).
        frequencies: (L,). Empty means no encoding.

    Returns:
        (..., 4 L): sines of y, sines of x, cosines of y, cosines of x; ``delta`` itself if L = 0.
    """
    if frequencies.numel() == 0:
        return delta
    phase = (delta.unsqueeze(-1) * frequencies).flatten(-2)  # ..., 2 L
    return torch.cat([phase.sin(), phase.cos()], dim=-1)  # ..., 4 L


def encoding_dim(frequencies: Tensor) -> int:
    """Number of features that ``positional_encoding`` returns for these frequencies."""
    return 4 * frequencies.numel() or 2
