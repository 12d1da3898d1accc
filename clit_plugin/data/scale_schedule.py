"""The scale schedule: which scales a training batch has, as pure functions of one declarative value.

``scale_ranges`` is a list of alternatives, which the batches use in turn; an alternative is a list of (min, max), one
per participating branch. Stage 1 of the paper is ``[[[1, 4]]]``, its stage 2 ``[[[1, 4]], [[1, 4], [1, 4]]]``.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from clit_plugin.utils.errors import UserError

ScaleRanges = Sequence[Sequence[tuple[float, float]]]


def check_scale_ranges(value: Any, where: str = "scale_ranges") -> list[list[tuple[float, float]]]:
    """Return ``scale_ranges`` as lists of (min, max).

    Args:
        value: The option's value.
        where: The option's place, for errors.

    Raises:
        UserError: Not a list of alternatives, each a list of pairs with 1 <= min <= max.
    """
    example = "expected a list of alternatives, each a [min, max] per branch, as in [[[1, 4]], [[1, 4], [1, 4]]]"
    if not isinstance(value, (list, tuple)) or not value:
        raise UserError(f"{where}: {example}; got {value!r}")
    alternatives = []
    for alternative in value:
        if not isinstance(alternative, (list, tuple)) or not alternative:
            raise UserError(f"{where}: {example}; got {value!r}")
        ranges = []
        for pair in alternative:
            numbers = isinstance(pair, (list, tuple)) and all(
                isinstance(n, (int, float)) and not isinstance(n, bool) and math.isfinite(n) for n in pair
            )
            if not numbers or len(pair) != 2 or not 1 <= pair[0] <= pair[1]:
                raise UserError(f"{where}: {example}, 1 <= min <= max; got {pair!r}")
            ranges.append((float(pair[0]), float(pair[1])))
        alternatives.append(ranges)
    return alternatives


def schedule(scale_ranges: ScaleRanges, *, seed: int, epoch: int, batch_index: int) -> tuple[float, ...]:
    """Scales of one batch, one per participating branch.

    They are the same on every rank, in every worker and after a resume, as they depend on the arguments alone. Each
    epoch starts with the next alternative, so that short epochs do not favour the first.

    Args:
        scale_ranges: See the module's docstring.
        seed: Seed of the experiment.
        epoch: Number of the epoch, from 0.
        batch_index: Number of the batch in the epoch, from 0.

    Returns:
        Factors, drawn uniformly from their ranges; the total scale is their product.
    """
    alternative = scale_ranges[(epoch + batch_index) % len(scale_ranges)]
    # The trailing 0 separates this stream from those of the samples.
    rng = np.random.default_rng((seed, epoch, batch_index, 0))
    return tuple(float(rng.uniform(low, high)) for low, high in alternative)


def clip_scales(scales: Sequence[float], limit: float) -> tuple[float, ...]:
    """Reduce the scales until their product is at most ``limit``: the first one down to 1, then the next (paper 4.1).

    Args:
        scales: Factors, each at least 1.
        limit: The largest total scale that the images allow, at least 1.

    Raises:
        ValueError: ``limit`` is below 1.
    """
    if limit < 1:
        raise ValueError(f"limit: expected at least 1, got {limit}")
    clipped = list(scales)
    for i, scale in enumerate(clipped):
        rest = math.prod(clipped) / scale
        clipped[i] = min(scale, max(1.0, limit / rest))
    return tuple(clipped)
