"""Several 3x3 convolutions of one feature, with 4 multiplications for each output instead of 9.

Winograd's minimal filtering F(2x2, 3x3), as in Lavin and Gray, "Fast algorithms for convolutional neural networks"
(CVPR 2016), section 4.1: Y = A^T [(G g G^T) * (B^T d B)] A for tiles d of 4x4 inputs, summed over channels. It is the
same sum in another order: results differ by rounding alone.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from clit_plugin.fast.workers import share_out

Matrix = Sequence[Sequence[float]]


class Transforms(NamedTuple):
    """A^T, B^T and G of the algorithm."""

    a: Matrix
    b: Matrix
    g: Matrix


F2X2_3X3 = Transforms(
    a=((1, 1, 1, 0), (0, 1, -1, -1)),
    b=((1, 0, -1, 0), (0, 1, 1, 0), (0, -1, 1, 0), (0, 1, 0, -1)),
    g=((1, 0, 0), (0.5, 0.5, 0.5), (0.5, -0.5, 0.5), (0, 0, 1)),
)


def convolve_together(
    feature: Tensor, convs: Sequence[nn.Conv2d], *, tiles: int = 256, transforms: Transforms = F2X2_3X3
) -> list[Tensor]:
    """3x3 convolutions with zero padding, without gradients.

    Args:
        feature: (1, C, H, W).
        convs: With padding 1 and a bias; C to C' channels each.
        tiles: About how many tiles are computed at a time; the default stays in cache.
        transforms: The matrices; others than the default do not compute a convolution, but serve error analysis.

    Returns:
        One (1, H, W, C') for each convolution, contiguous.
    """
    height, width = feature.shape[-2:]
    high, wide = -(-height // 2), -(-width // 2)  # tiles
    padded = F.pad(feature, (1, 2 * wide + 1 - width, 1, 2 * high + 1 - height)).squeeze(0).permute(1, 2, 0)
    windows = padded.contiguous().unfold(0, 4, 2).unfold(1, 4, 2)  # high, wide, C, 4, 4
    a, b, g = (_in_two_dimensions(matrix, feature) for matrix in transforms)
    filters = torch.cat([conv.weight for conv in convs])  # sum of C', C, 3, 3
    filters = (g @ filters.view(-1, 9).T).view(16, *filters.shape[:2]).transpose(1, 2)
    maps = [feature.new_empty(1, height, width, conv.out_channels) for conv in convs]
    step = max(1, tiles // wide)

    def convolve(top: int) -> None:
        d = windows[top : top + step].permute(3, 4, 0, 1, 2).reshape(16, -1)
        products = torch.bmm((b @ d).view(16, -1, feature.shape[1]), filters)  # 16, tiles, sum of C'
        y = (a @ products.flatten(1)).view(2, 2, -1, wide, filters.shape[-1])
        y = y.permute(2, 0, 3, 1, 4).flatten(2, 3).flatten(0, 1)[: height - 2 * top, :width]
        for target, part, conv in zip(maps, y.split([len(conv.weight) for conv in convs], -1), convs, strict=True):
            assert conv.bias is not None
            torch.add(part, conv.bias, out=target[0, 2 * top : 2 * top + len(y)])

    share_out(range(0, high, step), convolve, device=feature.device)
    return maps


def _in_two_dimensions(matrix: Matrix, like: Tensor) -> Tensor:
    """X -> M X M^T as one matrix, (rows of M)^2 x (columns of M)^2."""
    m = like.new_tensor(matrix)
    return torch.kron(m, m)
