"""Which feature grids a cascade works on (paper eq. 8)."""

from collections.abc import Sequence

from clit_plugin.ops.coordinates import Size

MAX_FACTOR = 4.0


def greedy_stage_sizes(lq_size: Size, size: Size, num_branches: int, max_factor: float = MAX_FACTOR) -> list[Size]:
    """Feature grids between the branches for one output size: x4 and below none, x12 one at x4, x24 at x4 and x16.

    Every branch but the last upsamples by ``max_factor``, as the original does at test time. Axes may differ in scale;
    the larger decides how many branches take part, and no axis grows beyond its own output.

    Args:
        lq_size: (H, W) of the LR image.
        size: (H, W) of the output.
        num_branches: How many branches the network has. The last one takes what is left of a larger scale.

    Returns:
        At most ``num_branches - 1`` grids (H, W), ascending; their number plus one is the number of branches in use.
    """
    scales = [out / lq for out, lq in zip(size, lq_size, strict=True)]
    stages: list[Size] = []
    factor = max_factor
    while len(stages) < num_branches - 1 and factor < max(scales) * (1.0 - 1e-9):
        height, width = (round(lq * max(1.0, min(factor, s))) for lq, s in zip(lq_size, scales, strict=True))
        stages.append((height, width))
        factor *= max_factor
    return stages


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
    stages: list[Size] = []
    for stage in stage_sizes:
        if len(stage) != 2 or min(stage) < 1:
            raise ValueError(f"stage_sizes: expected pairs (H, W) of positive integers, got {tuple(stage)}")
        stages.append((int(stage[0]), int(stage[1])))
    return stages
