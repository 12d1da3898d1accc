"""The networks that tests train and apply."""

TINY_NETWORK = {
    "type": "CLIT",
    "encoder": {"type": "EDSRBaseline", "num_feat": 8, "num_block": 1},
    "num_branches": 1,
    "dim": 8,
    "num_heads": 2,
    "local_grid": 3,
    "decoder_hidden": [8, 8],
}
LIIF = {"type": "LIIF", "encoder": TINY_NETWORK["encoder"], "decoder_hidden": [8]}
