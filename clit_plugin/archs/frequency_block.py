"""The local frequency encoding block that the conclusion of the CLIT paper names."""

import math

import torch
from torch import Tensor, nn

from clit_plugin.ops.coordinates import Size, local_grid_offsets, relative_coordinates
from clit_plugin.ops.local_attention import gather_local_grid, pad_for_local_grid


class FrequencyBlock(nn.Module):
    """The spectrum of each query's local grid, seen from the query.

    The paper gives no equation, and the code of the cascade lacks the block. The single-branch code has a fourth
    convolution, an orthonormal 2-D Fourier transform over the grid, a product with complex sinusoids of the relative
    coordinates, and real and imaginary parts side by side. That the sinusoid of frequency k is exp(i pi k delta / G),
    which moves the grid to the query as the shift theorem says, and that the parts join the values in the decoder's
    input, is our reading; so is the number of channels.

    Args:
        dim: Channels of the features.
        channels: Of the spectrum.
        local_grid: (G_h, G_w), odd.
    """

    def __init__(self, *, dim: int, channels: int, local_grid: Size) -> None:
        super().__init__()
        self.local_grid = local_grid
        self.out_features = 2 * channels * local_grid[0] * local_grid[1]
        self.to_f = nn.Conv2d(dim, channels, 3, padding=1)

    def map(self, feature: Tensor) -> Tensor:
        """The map that ``forward`` reads, from the features (B, dim, H, W)."""
        return pad_for_local_grid(self.to_f(feature), self.local_grid)

    def forward(self, padded: Tensor, coord: Tensor, index: Tensor, size: Size) -> Tensor:
        """(B, Q, out_features), frequency by frequency, real before imaginary.

        Args:
            padded: From ``map``.
            coord: (B, Q, 2) in [-1, 1].
            index: (B, Q, 2), the centre pixel of each query's grid.
            size: (H, W) of the features.
        """
        values = gather_local_grid(padded, index, self.local_grid)  # B, Q, N, channels
        values = values.to(torch.promote_types(values.dtype, torch.float32))  # there is no transform in bfloat16
        spectrum = torch.fft.fft2(values.unflatten(2, self.local_grid), dim=(2, 3), norm="ortho").flatten(2, 3)
        centre = local_grid_offsets((1, 1), device=coord.device)
        delta = relative_coordinates(coord, index, centre, size).to(values.dtype)  # B, Q, 1, 2
        axes = [torch.fft.fftfreq(n, device=coord.device, dtype=values.dtype) for n in self.local_grid]
        frequency = torch.stack(torch.meshgrid(*axes, indexing="ij"), -1).flatten(0, 1)  # N, 2: k / G
        angle = math.pi * (delta * frequency).sum(-1, keepdim=True)  # B, Q, N, 1
        return torch.view_as_real(spectrum * torch.polar(torch.ones_like(angle), angle)).transpose(-1, -2).flatten(2)
