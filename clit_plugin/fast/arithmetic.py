"""What is computed for a chunk of sampled queries, by torch's operations or by fused kernels."""

from typing import NamedTuple, Protocol

from torch import Tensor

from clit_plugin.fast.tile_tables import Tables


class Chunk(NamedTuple):
    """Some queries of one tile, n of them.

    centre: (n,), where the centres of their local grids lie in the tile's tables.
    width: Pixels of a row of the tables.
    hat: (n, 9), bilinear weights of the 3 x 3 pixels of q about the centre.
    rows: (n, G_h, heads), the rows' part of the positional bias.
    columns: (n, G_w, heads), the columns' part.
    """

    centre: Tensor
    width: int
    hat: Tensor
    rows: Tensor
    columns: Tensor


class Totals(NamedTuple):
    """Gradients to which every chunk adds: of the tables, (pixels, C) each, and of W1, (F, N * C)."""

    q: Tensor
    k: Tensor
    v: Tensor
    weight: Tensor


class Arithmetic(Protocol):
    """How the queries of a chunk are computed.

    longest: Queries of a chunk, at most.
    """

    longest: int

    def forward(self, tables: Tables, chunk: Chunk, weight: Tensor) -> tuple[Tensor, Tensor | None]:
        """W1 x of the chunk's queries, (n, F), and what ``backward`` is given again, if anything.

        ``weight`` is W1, (F, N * C), in the tables' dtype.
        """
        ...

    def backward(
        self, tables: Tables, chunk: Chunk, weight: Tensor, grad: Tensor, totals: Totals, kept: Tensor | None
    ) -> Tensor:
        """From grad (n, F): add to ``totals``, and return the gradient of the logits, (n, N, heads)."""
        ...
