"""What ``clit benchmark`` times: the paper's sizes, each on the fast and on the reference path."""

from dataclasses import dataclass

from clit_plugin.ops.stages import cascade_sizes


@dataclass(frozen=True)
class Case:
    """A row of the table.

    Args:
        name: As on the command line.
        lq_size: Side of the LR image.
        factors: Scale of each branch; their product is the scale.
        batch: Images; 0 for a whole image without gradients, else for a training step.
    """

    name: str
    lq_size: int
    factors: tuple[float, ...]
    batch: int = 0

    @property
    def stage_sizes(self) -> list[tuple[int, int]]:
        return cascade_sizes((self.lq_size, self.lq_size), self.factors)[:-1]

    @property
    def out_size(self) -> tuple[int, int]:
        return cascade_sizes((self.lq_size, self.lq_size), self.factors)[-1]


CASES = (
    Case("x4", 48, (4,)),
    Case("x2.7", 32, (2.7,)),
    Case("x12", 32, (4, 3)),
    Case("x30", 16, (4, 4, 1.875)),
    Case("stage1", 48, (4,), batch=4),
    Case("stage2", 48, (3, 2), batch=2),
    Case("stage3", 48, (3, 3, 1.5), batch=1),
)
