"""``clit export``: weights for other programs, as ``.safetensors`` or ONNX."""

import argparse
import json
import re
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clit_plugin.commands.shared_arguments import add_option_file_argument, add_param_key_argument
from clit_plugin.inference.shipped import weights_path
from clit_plugin.utils.console import say, written
from clit_plugin.utils.errors import UserError

if TYPE_CHECKING:
    from clit_plugin.archs.arbitrary_scale_arch import ArbitraryScaleArch

_SUFFIXES = (".safetensors", ".onnx")
# What is kept of a weights file's ``about``, and its types.
_ABOUT: dict[str, tuple[type, ...]] = {
    "name": (str,),
    "scale_range": (list,),
    "degradation": (str, dict),
    "licence": (str,),
    "author": (str,),
    "description": (str,),
    "figures": (list, dict, str),
}

DESCRIPTION = """\
Write trained weights as one .safetensors file, or as ONNX graphs for programs without torch.

The header of a .safetensors file states what it is (ModelSpec), how the network is built, and what it was trained for:
'clit upscale', 'test', 'figure' and 'attention' read it without an option file, and so do spandrel and ComfyUI, at the
factor of --factor, once clit_plugin.inference.spandrel_adapter has registered the networks there.

NAME.onnx stands for two graphs for any image and output size, NAME_encoder.onnx and NAME_decoder.onnx. They are checked
against the network before they are written; scripts/upscale_onnx.py applies them with onnxruntime and numpy alone.

examples:
  clit export net_g_latest.pth -o clit.safetensors --scales 1-4 --degradation pil --license CC-BY-4.0
  clit export net_g_latest.pth -o clit.safetensors --half --figures results/clit
  clit export clit.safetensors -o clit.onnx

exit status: 0 done, 2 bad input (nothing is written)"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("weights", metavar="WEIGHTS", type=weights_path, help="trained weights, .pth or .safetensors")
    parser.add_argument(
        "-o", "--output", metavar="FILE", required=True, help="FILE.safetensors, or FILE.onnx, which gives two files"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace existing files")
    parser.add_argument("--half", action="store_true", help="store float16, half the size (.safetensors only)")
    parser.add_argument(
        "--factor",
        metavar="N",
        type=int,
        default=4,
        help="the factor for programs that support fixed factors only, such as spandrel (default: %(default)s)",
    )
    known = parser.add_argument_group("metadata", "by default taken from WEIGHTS")
    known.add_argument("--scales", metavar="MIN-MAX", help="scales that the weights were trained for, such as 1-4")
    known.add_argument("--degradation", metavar="NAME", help="how the LR images of the training were made, such as pil")
    known.add_argument("--license", metavar="NAME", help="licence of the weights, such as Apache-2.0")
    known.add_argument("--author", metavar="NAME", help="who trained the weights")
    known.add_argument("--title", metavar="TEXT", help="name of the weights (default: FILE without its suffix)")
    known.add_argument("--description", metavar="TEXT", help="one sentence about the weights")
    known.add_argument("--figures", metavar="PATH", help="results of 'clit test' for the weights, a folder or a file")
    add_option_file_argument(parser)
    add_param_key_argument(parser)


def run(args: argparse.Namespace) -> int:
    """Export the weights; raises UserError for bad input."""
    from clit_plugin.archs.safetensors_file import MAX_EXPORT_FACTOR
    from clit_plugin.inference.export_safetensors import describe, pack_safetensors
    from clit_plugin.inference.load_network import load_described
    from clit_plugin.utils.atomic_files import replacing
    from clit_plugin.utils.output_files import check_replaces_none, check_writable

    start = time.monotonic()
    outputs = _outputs(args)
    if not 1 <= args.factor <= MAX_EXPORT_FACTOR:
        raise UserError(f"--factor: expected 1 to {MAX_EXPORT_FACTOR}, got {args.factor}")
    scales = None if args.scales is None else _scales(args.scales)
    check_replaces_none(outputs, [("weights file", args.weights), ("option file", args.opt)])
    for output in outputs:
        check_writable(output)
    figures = None if args.figures is None else _figures(args.figures)
    net, network, param_key, rest = load_described(args.weights, args.opt, param_key=args.param_key)
    about = _about(rest.get("about"), args.weights)
    given = {
        "name": args.title,
        "scale_range": scales,
        "degradation": args.degradation,
        "licence": args.license,
        "author": args.author,
        "description": args.description,
        "figures": figures,
    }
    about = {"name": Path(args.output).stem} | about | {key: value for key, value in given.items() if value is not None}
    header = describe(net, network, param_key=param_key, about=about, step=rest.get("iter"))
    contents: Sequence[bytes]
    if len(outputs) == 1:
        contents = [pack_safetensors(net.state_dict(), network, header, half=args.half, factor=args.factor)]
    else:
        contents = _onnx(net, header, args.weights)
    with ExitStack() as partials:  # both graphs, or neither
        for output, content in zip(outputs, contents, strict=True):
            partials.enter_context(replacing(output)).write_bytes(content)
    for output in outputs:
        say(written(output, time.monotonic() - start))
    unknown = {"--scales": "scale_range", "--degradation": "degradation", "--license": "licence"}
    if lacking := [option for option, key in unknown.items() if key not in about]:
        say(f"{args.output}: lacks metadata that {args.weights} does not have; add it with {', '.join(lacking)}")
    return 0


def _outputs(args: argparse.Namespace) -> list[Path]:
    """The file or the two files to write."""
    output = Path(args.output).expanduser()
    suffix = output.suffix.lower()
    if suffix not in _SUFFIXES:
        raise UserError(f"{output}: expected a name that ends in {' or '.join(_SUFFIXES)}")
    if suffix == ".onnx" and args.half:
        raise UserError("--half: for .safetensors only; the ONNX graphs compute in float32")
    parts = [output]
    if suffix == ".onnx":
        parts = [output.with_name(f"{output.stem}_{part}{output.suffix}") for part in ("encoder", "decoder")]
    for part in parts:
        if part.is_dir():
            raise UserError(f"{part}: is a folder; give a file name")
        if part.exists() and not args.overwrite:
            raise UserError(f"{part}: already exists; --overwrite replaces it")
    return parts


def _scales(text: str) -> list[float]:
    from clit_plugin.archs.safetensors_file import check_scale_range

    match = re.fullmatch(r"(\d+(?:\.\d+)?)-(\d+(?:\.\d+)?)", text.strip())
    if match is None:
        raise UserError(f"--scales: expected MIN-MAX, such as 1-4, got {text!r}")
    return check_scale_range([float(match[1]), float(match[2])], "--scales")


def _about(given: Any, path: str) -> dict[str, Any]:
    """Checked metadata of a weights file; unknown keys are dropped."""
    from clit_plugin.archs.safetensors_file import check_scale_range

    about = {key: value for key, value in given.items() if key in _ABOUT} if isinstance(given, Mapping) else {}
    for key, value in about.items():
        if not isinstance(value, _ABOUT[key]):
            raise UserError(f"{path}: about.{key}: expected {_ABOUT[key][0].__name__}, got {value!r:.60}")
    if "scale_range" in about:
        about["scale_range"] = check_scale_range(about["scale_range"], f"{path}: about.scale_range")
    try:
        json.dumps(about)
    except (TypeError, ValueError, RecursionError) as error:
        raise UserError(f"{path}: about: expected plain values ({error})") from error
    return about


def _figures(path: str) -> list[dict[str, Any]]:
    """The result of every set, with the settings that give its numbers a meaning."""
    from clit_plugin.evaluation.result_files import settings_to_json
    from clit_plugin.evaluation.stored_sets import read_results

    figures = []
    for result in read_results([path]):
        settings = settings_to_json(result)
        figure = {key: settings[key] for key in ("set", "scale", "degradation", "protocol")}
        figures.append({**figure, "metrics": dict(result.metrics)})
    return figures


def _onnx(net: "ArbitraryScaleArch", header: Mapping[str, str], path: str) -> tuple[bytes, bytes]:
    try:
        from clit_plugin.inference.export_onnx import check_exportable, export_onnx
    except ModuleNotFoundError as error:
        if error.name is None or error.name.startswith("clit_plugin"):
            raise
        need = f"ONNX needs the package {error.name}, which is not installed"
        raise UserError(f"{need}; pip install 'clit_plugin[onnx]'") from error
    try:
        check_exportable(net)
        say(f"{path}: building the graphs and checking them against the network ...")
        return export_onnx(net, header)
    except UserError as error:
        raise UserError(f"{path}: {error}") from error
