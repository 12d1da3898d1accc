"""Small random networks in weights files."""

import torch

from clit_plugin.archs.build import build_network

CLIT = {
    "type": "CLIT",
    "encoder": {"type": "EDSRBaseline", "num_feat": 8, "num_block": 1},
    "num_branches": 2,
    "dim": 8,
    "num_heads": 2,
    "local_grid": 3,
    "decoder_hidden": [8],
}
LIIF = {"type": "LIIF", "encoder": CLIT["encoder"], "decoder_hidden": [8]}


def write_weights(path, network=CLIT, **more):
    """Write a weights file that holds its options; return the network."""
    torch.manual_seed(1)
    net = build_network(network).eval()
    torch.save({"params": net.state_dict(), "network_g": network, **more}, path)
    return net
