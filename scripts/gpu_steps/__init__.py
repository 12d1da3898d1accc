"""The steps of gpu_check.py: each prints a part of the page."""

from collections.abc import Callable

from gpu_steps.agreement import agreement, gradients, images
from gpu_steps.commands import benchmark, counted, tests
from gpu_steps.tiles import tiles
from gpu_steps.timing import kernels, small, steps

STEPS: dict[str, Callable[[], None]] = {
    step.__name__: step
    for step in (counted, tests, agreement, gradients, steps, images, kernels, small, tiles, benchmark)
}
