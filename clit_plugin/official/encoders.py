"""Encoders of the original repositories."""

from collections.abc import Callable
from functools import partial
from typing import Any

from clit_plugin.official.arguments import Converted, Rules, arguments_of


def convert_encoder(name: str, spec: Any) -> Converted:
    if name not in _ENCODERS:
        raise ValueError(f"encoder_spec: supported are the names {', '.join(_ENCODERS)}, got {name!r}")
    return _ENCODERS[name](spec)


# With no_upsampling an encoder gives features. The original subtracts no mean, so the range has no effect.
_UNUSED = {"scale": 2, "no_upsampling": False, "rgb_range": 1}
_MEAN: Rules = [(r"encoder\.(sub|add)_mean\.", None)]


def _convert_edsr(type_: str, n_resblocks: int, n_feats: int, res_scale: float, spec: Any) -> Converted:
    defaults = {"n_resblocks": n_resblocks, "n_feats": n_feats, "res_scale": res_scale, **_UNUSED}
    arguments = arguments_of("encoder_spec", spec, defaults, no_upsampling=True)
    blocks = arguments["n_resblocks"]
    options = {
        "type": type_,
        "num_feat": arguments["n_feats"],
        "num_block": blocks,
        "res_scale": arguments["res_scale"],
    }
    rules = [
        (r"encoder\.head\.0\.", "encoder.conv_first."),
        (rf"encoder\.body\.{blocks}\.", "encoder.conv_after_body."),
        (r"encoder\.body\.(\d+)\.body\.0\.", r"encoder.body.\1.conv1."),
        (r"encoder\.body\.(\d+)\.body\.2\.", r"encoder.body.\1.conv2."),
    ]
    return Converted(options, [*_MEAN, *rules])


def _convert_rdn(spec: Any) -> Converted:
    defaults = {"G0": 64, "RDNkSize": 3, "RDNconfig": "B", "scale": 2, "no_upsampling": False}
    arguments = arguments_of("encoder_spec", spec, defaults, RDNkSize=3, no_upsampling=True)
    configurations = {"A": (20, 6, 32), "B": (16, 8, 64)}
    if arguments["RDNconfig"] not in configurations:
        raise ValueError(f"encoder_spec: expected RDNconfig 'A' or 'B', got {arguments['RDNconfig']!r}")
    num_block, num_layer, growth = configurations[arguments["RDNconfig"]]
    options = {
        "type": "RDN",
        "num_feat": arguments["G0"],
        "num_block": num_block,
        "num_layer": num_layer,
        "growth": growth,
    }
    rules = [
        (r"encoder\.SFENet1\.", "encoder.conv_first."),
        (r"encoder\.SFENet2\.", "encoder.conv_second."),
        (r"encoder\.RDBs\.(\d+)\.convs\.(\d+)\.conv\.0\.", r"encoder.blocks.\1.convs.\2."),
        (r"encoder\.RDBs\.(\d+)\.LFF\.", r"encoder.blocks.\1.fusion."),
        (r"encoder\.GFF\.", "encoder.fusion."),
    ]
    return Converted(options, rules)


def _convert_rcan(spec: Any) -> Converted:
    defaults = {"n_resgroups": 10, "n_resblocks": 20, "n_feats": 64, "reduction": 16, **_UNUSED}
    arguments = arguments_of("encoder_spec", spec, defaults, no_upsampling=True)
    groups, blocks = arguments["n_resgroups"], arguments["n_resblocks"]
    options = {
        "type": "RCAN",
        "num_feat": arguments["n_feats"],
        "num_group": groups,
        "num_block": blocks,
        "squeeze_factor": arguments["reduction"],
    }
    group, our_group = r"encoder\.body\.(\d+)\.body\.", r"encoder.body.\1."
    block, our_block = group + r"(\d+)\.body\.", our_group + r"residual_group.\2.rcab."
    rules = [
        (r"encoder\.head\.0\.", "encoder.conv_first."),
        (rf"encoder\.body\.{groups}\.", "encoder.conv_after_body."),
        (rf"{group}{blocks}\.", f"{our_group}conv."),
        (rf"{block}3\.conv_du\.0\.", f"{our_block}3.attention.1."),
        (rf"{block}3\.conv_du\.2\.", f"{our_block}3.attention.3."),
        (block, our_block),
    ]
    return Converted(options, [*_MEAN, *rules])


def _convert_swinir(spec: Any) -> Converted:
    defaults = {"embed_dim": 180, "depths": [6] * 6, "num_heads": [6] * 6, "window_size": 8, "mlp_ratio": 2}
    defaults |= {"img_size": 48, "patch_size": 1, "in_chans": 3, "no_upsampling": True}
    arguments = arguments_of("encoder_spec", spec, defaults, patch_size=1, in_chans=3, no_upsampling=True)
    supported = ("embed_dim", "depths", "num_heads", "window_size", "mlp_ratio", "img_size")
    return Converted({"type": "SwinIR", **{name: arguments[name] for name in supported}}, [])


_ENCODERS: dict[str, Callable[[Any], Converted]] = {
    "edsr-baseline": partial(_convert_edsr, "EDSRBaseline", 16, 64, 1.0),
    "edsr": partial(_convert_edsr, "EDSR", 32, 256, 0.1),
    "rdn": _convert_rdn,
    "rcan": _convert_rcan,
    "swinir": _convert_swinir,
}
