"""Which feature grids a cascade works on (paper eq. 8)."""

from collections.abc import Iterable, Sequence
from itertools import accumulate
from operator import mul

from clit_plugin.ops.sizes import ROUNDING, Size, scaled_size

MAX_FACTOR = 4.0


def greedy_stage_sizes(lq_size: Size, size: Size, num_branches: int, max_factor: float = MAX_FACTOR) -> list[Size]:
    """Feature grids between the branches for one output size: none up to x4, one at x4 for x12, x4 and x16 for x24.

    Every branch but the last upsamples by ``max_factor``, as the original does at test time. Axes may differ in scale;
    the larger decides how many branches take part, and no axis grows beyond its own output.

    Args:
        lq_size: (H, W) of the LR image.
        size: (H, W) of the output.
        num_branches: Branches of the network. The last one takes whatever scale remains.

    Returns:
        k grids (H, W), ascending, with k < ``num_branches``: k + 1 branches are in use.
    """
    scales = [out / lq for out, lq in zip(size, lq_size, strict=True)]
    stages: list[Size] = []
    factor = max_factor
    while len(stages) < num_branches - 1 and factor < max(scales) * (1.0 - ROUNDING):
        stages.append(scaled_size(lq_size, [max(1.0, min(factor, scale)) for scale in scales]))
        factor *= max_factor
    return stages


def cascade_sizes(lq_size: Size, factors: Iterable[float]) -> list[Size]:
    """Grids that an image of ``lq_size`` (H, W) reaches factor by factor; the last one is the output's."""
    return [scaled_size(lq_size, scale) for scale in accumulate(factors, mul)]


def all_stage_sizes(lq_size: Size, num_branches: int, max_factor: float = MAX_FACTOR) -> list[Size]:
    """The grids between all branches, as a scale of ``max_factor ** num_branches`` uses them."""
    largest = round(max_factor**num_branches)
    return greedy_stage_sizes(lq_size, (lq_size[0] * largest, lq_size[1] * largest), num_branches, max_factor)


def check_stage_sizes(stage_sizes: Sequence[Sequence[int]], num_branches: int) -> list[Size]:
    """Return ``stage_sizes`` as a list of (H, W).

    Raises:
        ValueError: More grids than there are branches to use them, or a grid that is not two positive integers.
    """
    if len(stage_sizes) > num_branches - 1:
        raise ValueError(
            f"stage_sizes: expected at most {num_branches - 1} grids for {num_branches} branch(es), "
            f"got {len(stage_sizes)}"
        )
    return check_sizes(stage_sizes, "stage_sizes")


def check_sizes(sizes: Sequence[Sequence[int]], name: str) -> list[Size]:
    """Return ``sizes`` as (H, W).

    Raises:
        ValueError: One is not two positive integers.
    """
    checked: list[Size] = []
    for size in sizes:
        if len(size) != 2 or min(size) < 1 or any(n != int(n) for n in size):
            raise ValueError(f"{name}: expected two positive integers (H, W), got {tuple(size)}")
        checked.append((int(size[0]), int(size[1])))
    return checked
