"""Checkpoints of the original CLIT repository, rebuilt as our networks.

Such a file holds ``{'model': {'name', 'args', 'sd'}, ...}``: the registered name, the constructor's arguments as in
the original's YAML, and the weights.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
from basicsr.utils.registry import ARCH_REGISTRY
from torch import Tensor, nn

from clit_plugin.errors import UserError

# How the original's weights are called here: the beginning of a name, and what replaces it (None: not needed). The
# first rule that matches counts.
_Rules = Sequence[tuple[str, str | None]]


class _Converted(NamedTuple):
    options: dict[str, Any]  # type and arguments of our network or encoder
    rules: _Rules


def load_official(path: str | Path) -> nn.Module:
    """Build the network of an original checkpoint and load its weights.

    Args:
        path: The file. Only tensors and plain containers are unpickled from it.

    Returns:
        Our network, in float32 on the CPU, in eval mode.

    Raises:
        UserError: No such file, not such a checkpoint, or a network that has no counterpart here.
    """
    name, arguments, weights = _read(Path(path))
    if name not in _CONVERTERS:
        raise UserError(f"{path}: holds a network named {name!r}; supported are {', '.join(_CONVERTERS)}")
    try:
        options, rules = _CONVERTERS[name](arguments)
        net = ARCH_REGISTRY.get(options.pop("type"))(**options)
        weights = _rename(weights, rules)
        _check_weights(net.state_dict(), weights)
    except (TypeError, ValueError) as error:
        raise UserError(f"{path}: cannot be converted: {error}") from error
    net.load_state_dict(weights)
    return net.eval()


def _read(path: Path) -> tuple[str, Mapping[str, Any], dict[str, Tensor]]:
    """Name, arguments and weights, these in float32."""
    expected = "expected a checkpoint of the original CLIT code"
    if not path.is_file():
        raise UserError(f"{path}: no such file; {expected}")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # there is no telling what a foreign file makes the unpickler raise
        raise UserError(f"{path}: {expected}, but torch.load fails with weights_only=True") from error
    model = content.get("model") if isinstance(content, Mapping) else None
    model = model if isinstance(model, Mapping) else {}
    name, arguments, weights = (model.get(key) for key in ("name", "args", "sd"))
    if not isinstance(name, str) or not isinstance(arguments, Mapping) or not isinstance(weights, Mapping):
        raise UserError(f"{path}: {expected}, {{'model': {{'name', 'args', 'sd'}}}}")
    if not all(isinstance(key, str) and isinstance(value, Tensor) for key, value in weights.items()):
        raise UserError(f"{path}: {expected}; under model.sd there is more than named tensors")
    return name, arguments, {k: v.float() if v.is_floating_point() else v for k, v in weights.items()}


def _rename(weights: Mapping[str, Tensor], rules: _Rules) -> dict[str, Tensor]:
    """Weights under our names. A name that no rule knows stays as it is and is refused when it comes to loading."""
    renamed = {}
    for name, value in weights.items():
        for pattern, replacement in rules:
            match = re.match(pattern, name)
            if match is not None:
                if replacement is not None:
                    renamed[match.expand(replacement) + name[match.end() :]] = value
                break
        else:
            renamed[name] = value
    return renamed


def _check_weights(expected: Mapping[str, Tensor], weights: Mapping[str, Tensor]) -> None:
    complaints = {
        "missing": [name for name in expected if name not in weights],
        "unexpected": [name for name in weights if name not in expected],
        "of another shape": [n for n in expected if n in weights and expected[n].shape != weights[n].shape],
    }
    texts = [f"{what}: {_first_few(names)}" for what, names in complaints.items() if names]
    if texts:
        raise ValueError(f"the weights do not fit the arguments; {'; '.join(texts)}")


def _first_few(names: Sequence[str]) -> str:
    rest = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + rest


def _arguments(where: str, given: Any, defaults: Mapping[str, Any], **needed: Any) -> dict[str, Any]:
    """Arguments of one of the original's constructors, completed with its defaults.

    Raises:
        ValueError: Not a mapping, an argument that the original does not have, or another value than ``needed``.
    """
    if not isinstance(given, Mapping):
        raise ValueError(f"{where}: expected a mapping of arguments, got {given!r}")
    unknown = [name for name in given if name not in defaults]
    if unknown:
        raise ValueError(f"{where}: expected arguments out of {', '.join(defaults)}, got {unknown[0]!r}")
    arguments = {**defaults, **given}
    for name, value in needed.items():
        if arguments[name] != value:
            raise ValueError(f"{where}: only {name} = {value!r} is supported, got {arguments[name]!r}")
    return arguments


def _spec(arguments: Mapping[str, Any], key: str) -> tuple[str, Any]:
    """Name and arguments of one of the original's parts."""
    spec = arguments[key]
    if not isinstance(spec, Mapping) or not isinstance(spec.get("name"), str):
        raise ValueError(f"{key}: expected a mapping with name and args, got {spec!r}")
    return spec["name"], spec.get("args", {})


def _convert_clit(given: Mapping[str, Any]) -> _Converted:
    # pe_spec and verbose have no effect in the original.
    defaults = {"encoder_spec": None, "imnet_spec": None, "pb_spec": None, "pe_spec": None, "base_dim": 192}
    defaults |= {
        "head": 8,
        "r": 3,
        "imnet_num": 1,
        "conv_num": 1,
        "is_cell": True,
        "local_attn": True,
        "verbose": False,
    }
    arguments = _arguments("clit", given, defaults)
    if arguments["imnet_num"] != arguments["conv_num"]:
        raise ValueError(f"imnet_num: expected conv_num, {arguments['conv_num']}, got {arguments['imnet_num']}")
    if arguments["local_attn"]:
        _check_positional_bias(*_spec(arguments, "pb_spec"))
    encoder, encoder_rules = _convert_encoder(*_spec(arguments, "encoder_spec"))
    options = {
        "type": "CLIT",
        "encoder": encoder,
        "num_branches": arguments["imnet_num"],
        "dim": arguments["base_dim"],
        "num_heads": arguments["head"],
        "local_grid": 2 * arguments["r"] + 1,
        "decoder_hidden": _hidden_widths(*_spec(arguments, "imnet_spec")),
        "local_attention": arguments["local_attn"],
        "cell_decoding": arguments["is_cell"],
    }
    rules = [
        (r"conv_ch\.", "conv_feat."),
        (r"conv_([qkv])s\.(\d+)\.", r"branches.\2.to_\1."),
        (r"imnets\.(\d+)\.layers\.", r"branches.\1.decoder."),
        (r"pb_encoder\.proj\.", "pos_bias."),
    ]
    return _Converted(options, [*rules, *encoder_rules])


def _check_positional_bias(name: str, given: Any) -> None:
    if name != "posenc":
        raise ValueError(f"pb_spec: only the name 'posenc' is supported, got {name!r}")
    # The rest has no effect on sinusoids.
    defaults = {"posenc_type": None, "complex_transform": False, "posenc_scale": 6, "enc_dims": 256}
    defaults |= {"gauss_scale": 1, "in_dims": 2, "hidden_dims": 32, "head": 1, "gamma": 1}
    needed = {"posenc_type": "sinusoid", "complex_transform": False, "posenc_scale": 10, "enc_dims": 64}
    _arguments("pb_spec", given, defaults, **needed)


def _hidden_widths(name: str, given: Any) -> Sequence[int]:
    if name != "mlp":
        raise ValueError(f"imnet_spec: only the name 'mlp' is supported, got {name!r}")
    defaults = {"out_dim": None, "hidden_list": None, "act": "relu"}
    return _arguments("imnet_spec", given, defaults, out_dim=3, act="gelu")["hidden_list"]


def _convert_encoder(name: str, given: Any) -> _Converted:
    if name not in _ENCODERS:
        raise ValueError(f"encoder_spec: supported are the names {', '.join(_ENCODERS)}, got {name!r}")
    return _ENCODERS[name](given)


# With no_upsampling an encoder gives features. The original subtracts no mean, so the range has no effect.
_UNUSED = {"scale": 2, "no_upsampling": False, "rgb_range": 1}
_MEAN: _Rules = [(r"encoder\.(sub|add)_mean\.", None)]


def _convert_edsr(type_: str, n_resblocks: int, n_feats: int, res_scale: float, given: Any) -> _Converted:
    defaults = {"n_resblocks": n_resblocks, "n_feats": n_feats, "res_scale": res_scale, **_UNUSED}
    arguments = _arguments("encoder_spec", given, defaults, no_upsampling=True)
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
    return _Converted(options, [*_MEAN, *rules])


def _convert_rdn(given: Any) -> _Converted:
    defaults = {"G0": 64, "RDNkSize": 3, "RDNconfig": "B", "scale": 2, "no_upsampling": False}
    arguments = _arguments("encoder_spec", given, defaults, RDNkSize=3, no_upsampling=True)
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
    return _Converted(options, rules)


def _convert_rcan(given: Any) -> _Converted:
    defaults = {"n_resgroups": 10, "n_resblocks": 20, "n_feats": 64, "reduction": 16, **_UNUSED}
    arguments = _arguments("encoder_spec", given, defaults, no_upsampling=True)
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
    return _Converted(options, [*_MEAN, *rules])


def _convert_swinir(given: Any) -> _Converted:
    defaults = {"embed_dim": 180, "depths": [6] * 6, "num_heads": [6] * 6, "window_size": 8, "mlp_ratio": 2}
    defaults |= {"img_size": 48, "patch_size": 1, "in_chans": 3, "no_upsampling": True}
    arguments = _arguments("encoder_spec", given, defaults, patch_size=1, in_chans=3, no_upsampling=True)
    ours = ("embed_dim", "depths", "num_heads", "window_size", "mlp_ratio", "img_size")
    return _Converted({"type": "SwinIR", **{name: arguments[name] for name in ours}}, [])


_ENCODERS: dict[str, Callable[[Any], _Converted]] = {
    "edsr-baseline": partial(_convert_edsr, "EDSRBaseline", 16, 64, 1.0),
    "edsr": partial(_convert_edsr, "EDSR", 32, 256, 0.1),
    "rdn": _convert_rdn,
    "rcan": _convert_rcan,
    "swinir": _convert_swinir,
}

# From the original's registered name to what makes our options and renaming rules of its arguments.
_CONVERTERS: dict[str, Callable[[Mapping[str, Any]], _Converted]] = {"clit": _convert_clit}
