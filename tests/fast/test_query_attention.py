"""Training on sampled queries: what the host would have to wait for on an accelerator."""

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from clit_plugin.archs.clit_arch import CLIT
from clit_plugin.fast import branch as fast_branch


class Operators(TorchDispatchMode):
    """Names of the operators that run."""

    def __init__(self):
        super().__init__()
        self.names: set[str] = set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.names.add(func.overloadpacket.__name__ if hasattr(func, "overloadpacket") else str(func))
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize(("tile_pixels", "waits"), [(10**6, set()), (200, {"nonzero"})], ids=["one tile", "tiles"])
def test_queries_are_selected_only_where_a_map_has_several_tiles(monkeypatch, tile_pixels, waits):
    monkeypatch.setattr(fast_branch, "tile_pixels", lambda _: tile_pixels)
    encoder = {"type": "EDSRBaseline", "num_feat": 8, "num_block": 1}
    net = CLIT(encoder=encoder, dim=12, num_heads=3, local_grid=3, decoder_hidden=[16], num_branches=2)
    coord, cell = torch.rand(2, 23, 2) * 2 - 1, torch.full((2, 2), 0.1)
    with Operators() as operators:
        net(torch.rand(2, 3, 6, 7), coord, cell, [(40, 33)]).square().mean().backward()
    assert operators.names & {"nonzero", "_local_scalar_dense", "unique_consecutive", "masked_select"} == waits
