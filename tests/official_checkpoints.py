"""Tiny checkpoints in the layout of the original repositories, their names and shapes written down by hand."""

from typing import Any

import torch

_ENCODER = {"name": "edsr-baseline", "args": {"no_upsampling": True, "n_resblocks": 1, "n_feats": 2}}
_ENCODER_SHAPES = {
    "encoder.head.0.weight": (2, 3, 3, 3),
    "encoder.head.0.bias": (2,),
    "encoder.body.0.body.0.weight": (2, 2, 3, 3),
    "encoder.body.0.body.0.bias": (2,),
    "encoder.body.0.body.2.weight": (2, 2, 3, 3),
    "encoder.body.0.body.2.bias": (2,),
    "encoder.body.1.weight": (2, 2, 3, 3),
    "encoder.body.1.bias": (2,),
}


def official_clit() -> dict[str, Any]:
    """CLIT with one branch."""
    shapes = {
        "encoder.sub_mean.weight": (3, 3, 1, 1),
        "encoder.sub_mean.bias": (3,),
        "encoder.add_mean.weight": (3, 3, 1, 1),
        "encoder.add_mean.bias": (3,),
        **_ENCODER_SHAPES,
        "conv_ch.weight": (4, 2, 3, 3),
        "conv_ch.bias": (4,),
        "conv_qs.0.weight": (4, 4, 3, 3),
        "conv_qs.0.bias": (4,),
        "conv_ks.0.weight": (4, 4, 3, 3),
        "conv_ks.0.bias": (4,),
        "conv_vs.0.weight": (4, 4, 3, 3),
        "conv_vs.0.bias": (4,),
        "pb_encoder.proj.weight": (2, 64),
        "pb_encoder.proj.bias": (2,),
        "imnets.0.layers.0.weight": (5, 4 * 3 * 3 + 2),
        "imnets.0.layers.0.bias": (5,),
        "imnets.0.layers.2.weight": (3, 5),
        "imnets.0.layers.2.bias": (3,),
    }
    arguments = {
        "base_dim": 4,
        "head": 2,
        "r": 1,
        "imnet_num": 1,
        "conv_num": 1,
        "is_cell": True,
        "local_attn": True,
        "encoder_spec": _ENCODER,
        "pb_spec": {
            "name": "posenc",
            "args": {"posenc_type": "sinusoid", "posenc_scale": 10, "hidden_dims": 64, "enc_dims": 64, "gamma": 1},
        },
        "imnet_spec": {"name": "mlp", "args": {"out_dim": 3, "hidden_list": [5], "act": "gelu"}},
    }
    return _checkpoint("clit", arguments, shapes)


def official_lte() -> dict[str, Any]:
    """LTE."""
    shapes = {
        **_ENCODER_SHAPES,
        "coef.weight": (4, 2, 3, 3),
        "coef.bias": (4,),
        "freq.weight": (4, 2, 3, 3),
        "freq.bias": (4,),
        "phase.weight": (2, 2),
        "imnet.layers.0.weight": (5, 4),
        "imnet.layers.0.bias": (5,),
        "imnet.layers.2.weight": (3, 5),
        "imnet.layers.2.bias": (3,),
    }
    decoder = {"name": "mlp", "args": {"out_dim": 3, "hidden_list": [5]}}
    arguments = {"encoder_spec": _ENCODER, "imnet_spec": decoder, "hidden_dim": 4}
    return _checkpoint("lte", arguments, shapes)


def _checkpoint(name: str, arguments: dict[str, Any], shapes: dict[str, tuple[int, ...]]) -> dict[str, Any]:
    weights = {key: torch.randn(shape) for key, shape in shapes.items()}
    return {"model": {"name": name, "args": arguments, "sd": weights}, "epoch": 1}
