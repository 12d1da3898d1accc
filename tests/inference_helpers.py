"""Small random networks in weights files."""

import torch
from tiny_networks import LIIF, TINY_NETWORK

from clit_plugin.archs.build import build_network

CLIT = {**TINY_NETWORK, "num_branches": 2}


__all__ = ["CLIT", "LIIF", "write_weights"]


def write_weights(path, network=CLIT, **more):
    """Write a weights file that holds its options; return the network."""
    torch.manual_seed(1)
    net = build_network(network).eval()
    torch.save({"params": net.state_dict(), "network_g": network, **more}, path)
    return net
