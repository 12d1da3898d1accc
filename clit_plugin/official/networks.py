"""Networks of the original repositories."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from clit_plugin.official.arguments import Converted, arguments_of, spec_of
from clit_plugin.official.encoders import convert_encoder


def _convert_clit(spec: Mapping[str, Any]) -> Converted:
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
    arguments = arguments_of("clit", spec, defaults)
    if arguments["imnet_num"] != arguments["conv_num"]:
        raise ValueError(f"imnet_num: expected conv_num, {arguments['conv_num']}, got {arguments['imnet_num']}")
    if arguments["local_attn"]:
        _check_positional_bias(*spec_of(arguments, "pb_spec"))
    encoder, encoder_rules = convert_encoder(*spec_of(arguments, "encoder_spec"))
    options = {
        "type": "CLIT",
        "encoder": encoder,
        "num_branches": arguments["imnet_num"],
        "dim": arguments["base_dim"],
        "num_heads": arguments["head"],
        "local_grid": 2 * arguments["r"] + 1,
        "decoder_hidden": _hidden_widths(*spec_of(arguments, "imnet_spec"), act="gelu"),
        "local_attention": arguments["local_attn"],
        "cell_decoding": arguments["is_cell"],
    }
    rules = [
        (r"conv_ch\.", "conv_feat."),
        (r"conv_([qkv])s\.(\d+)\.", r"branches.\2.to_\1."),
        (r"imnets\.(\d+)\.layers\.", r"branches.\1.decoder."),
        (r"pb_encoder\.proj\.", "pos_bias."),
    ]
    return Converted(options, [*rules, *encoder_rules])


def _check_positional_bias(name: str, spec: Any) -> None:
    if name != "posenc":
        raise ValueError(f"pb_spec: only the name 'posenc' is supported, got {name!r}")
    # The rest has no effect on sinusoids.
    defaults = {"posenc_type": None, "complex_transform": False, "posenc_scale": 6, "enc_dims": 256}
    defaults |= {"gauss_scale": 1, "in_dims": 2, "hidden_dims": 32, "head": 1, "gamma": 1}
    needed = {"posenc_type": "sinusoid", "complex_transform": False, "posenc_scale": 10, "enc_dims": 64}
    arguments_of("pb_spec", spec, defaults, **needed)


def _convert_liif(spec: Mapping[str, Any]) -> Converted:
    defaults = {"encoder_spec": None, "imnet_spec": None, "local_ensemble": True, "feat_unfold": True}
    defaults |= {"cell_decode": True}
    arguments = arguments_of("liif", spec, defaults)
    encoder, encoder_rules = convert_encoder(*spec_of(arguments, "encoder_spec"))
    options = {
        "type": "LIIF",
        "encoder": encoder,
        "decoder_hidden": _hidden_widths(*spec_of(arguments, "imnet_spec"), act="relu"),
        "feature_unfold": arguments["feat_unfold"],
        "cell_decoding": arguments["cell_decode"],
        "local_ensemble": arguments["local_ensemble"],
    }
    return Converted(options, [(r"imnet\.layers\.", "decoder."), *encoder_rules])


def _convert_lte(spec: Mapping[str, Any]) -> Converted:
    arguments = arguments_of("lte", spec, {"encoder_spec": None, "imnet_spec": None, "hidden_dim": 256})
    encoder, encoder_rules = convert_encoder(*spec_of(arguments, "encoder_spec"))
    options = {
        "type": "LTE",
        "encoder": encoder,
        "width": arguments["hidden_dim"],
        "decoder_hidden": _hidden_widths(*spec_of(arguments, "imnet_spec"), act="relu"),
    }
    rules = [
        (r"coef\.", "amplitude."),
        (r"freq\.", "frequency."),
        (r"imnet\.layers\.", "decoder."),
    ]
    return Converted(options, [*rules, *encoder_rules])


def _convert_metasr(spec: Mapping[str, Any]) -> Converted:
    arguments = arguments_of("metasr", spec, {"encoder_spec": None})
    encoder, encoder_rules = convert_encoder(*spec_of(arguments, "encoder_spec"))
    rules = [(r"imnet\.layers\.0\.", "hidden."), (r"imnet\.layers\.2\.", "filters.")]
    return Converted({"type": "MetaSR", "encoder": encoder}, [*rules, *encoder_rules])


def _hidden_widths(name: str, spec: Any, *, act: str) -> Sequence[int]:
    if name != "mlp":
        raise ValueError(f"imnet_spec: only the name 'mlp' is supported, got {name!r}")
    defaults = {"out_dim": None, "hidden_list": None, "act": "relu"}
    return arguments_of("imnet_spec", spec, defaults, out_dim=3, act=act)["hidden_list"]


# From the original's registered name to what makes our options and renaming rules of its arguments.
CONVERTERS: dict[str, Callable[[Mapping[str, Any]], Converted]] = {
    "clit": _convert_clit,
    "liif": _convert_liif,
    "lte": _convert_lte,
    "metasr": _convert_metasr,
}
