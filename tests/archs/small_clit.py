"""Small networks for tests, and their pixels as queries."""

import numpy as np
import torch

from clit_plugin.archs.clit_arch import CLIT

ENCODER = {"type": "EDSRBaseline", "num_feat": 5, "num_block": 1}
SMALL = {"encoder": ENCODER, "dim": 6, "num_heads": 2, "local_grid": 3, "decoder_hidden": [7, 5]}


def small(**changes) -> CLIT:
    return CLIT(**{**SMALL, **changes})


def lively(**changes) -> CLIT:
    """A small net in float64 whose attention is far from uniform, and whose residual is as large as the image."""
    net = small(**changes).double()
    with torch.no_grad():
        for name, parameter in net.named_parameters():
            if name.startswith(("branches", "pos_bias")):
                parameter.mul_(3.0)
    return net


def queries(size: tuple[int, int]) -> torch.Tensor:
    """Pixel centres (H * W, 2), written out."""
    return torch.tensor(
        [[(2 * i + 1) / size[0] - 1, (2 * j + 1) / size[1] - 1] for i, j in np.ndindex(*size)], dtype=torch.float64
    )
