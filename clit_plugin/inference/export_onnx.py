"""Exporting a network as two ONNX graphs for any image and output size: the encoder, and the decoder of query blocks.

The encoder maps ``lq`` (1, 3, H, W), RGB in [0, 1], to ``features`` (1, C, H, W); if the network predicts a residual,
the last three channels are the normalised image.

The decoder maps ``features``, ``coord`` (Q, 2), pixel centres of the output in [-1, 1] in the order (y, x), ``cell``
(2,) = (2 / H_out, 2 / W_out) and, for a cascade, ``stage_sizes`` (K, 2) int64, the grids between its branches, to
``rgb`` (Q, 3), about [0, 1] and not clamped. It reads only the rows of the features that a block depends on, so that
splitting the output into blocks of whole rows costs nothing.
"""

import contextlib
import inspect
import io
import logging
import warnings
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import onnx
import onnxruntime
import onnxscript  # noqa: F401, torch's exporter needs it
import torch
from onnx import TensorProto
from torch import Tensor, nn

from clit_plugin.archs.arbitrary_scale_arch import ArbitraryScaleArch
from clit_plugin.archs.clit_arch import CLIT
from clit_plugin.archs.encoders import BasicSRFeatures, SwinIR
from clit_plugin.inference.onnx_graph import IR_VERSION, OPSET, OnnxGraph, Value
from clit_plugin.inference.onnx_heads import head_of
from clit_plugin.inference.onnx_implicit import DECODERS
from clit_plugin.inference.onnx_map import Queries
from clit_plugin.ops.coordinates import Size, make_cell, make_coord
from clit_plugin.ops.stages import MAX_FACTOR, greedy_stage_sizes
from clit_plugin.utils.errors import UserError

TOLERANCE = 1e-4
# Encoders on which torch's exporter fails, some of them only after minutes.
_REFUSED: dict[type[nn.Module], str] = {
    SwinIR: "torch traces its padding and attention masks for one image size only",
    BasicSRFeatures: "torch cannot trace the hook that taps a layer",
}
_TRACE_SIZE: Size = (17, 22)
# LR and output sizes of the check: integer (x3, the most sensitive to rounding), fractional, anisotropic, a cascade.
_CHECK_SIZES: tuple[tuple[Size, Size], ...] = (
    ((12, 19), (36, 57)),
    ((16, 16), (55, 38)),
    ((7, 10), (17, 31)),
    ((5, 6), (93, 70)),
)


def check_exportable(net: nn.Module) -> ArbitraryScaleArch:
    """Refuse a network that cannot be exported.

    Raises:
        UserError: Its architecture, encoder or an option has no ONNX counterpart.
    """
    if not isinstance(net, CLIT) and type(net) not in DECODERS:
        others = ", ".join(kind.__name__ for kind in DECODERS)
        raise UserError(f"{type(net).__name__}: cannot be exported to ONNX; CLIT, {others} can")
    assert isinstance(net, ArbitraryScaleArch)
    if isinstance(net, CLIT) and net.frequency_channels:
        raise UserError("frequency_channels: the frequency block cannot be exported to ONNX")
    for kind, reason in _REFUSED.items():
        if isinstance(net.encoder, kind):
            raise UserError(f"encoder {kind.__name__}: cannot be exported to ONNX, as {reason}")
    return net


def export_onnx(net: nn.Module, header: Mapping[str, str]) -> tuple[bytes, bytes]:
    """Encoder and decoder, compared with the network by onnxruntime.

    Args:
        net: The network, in evaluation mode, on the CPU.
        header: Metadata to store in the graphs, from ``export_safetensors.describe``. ``max_queries`` (the largest
            block within about 256 MB) and, for a cascade, ``num_branches`` and ``max_factor`` are added.

    Raises:
        UserError: The network, one of its options or its encoder cannot be exported.
    """
    net = check_exportable(net)
    header = {**header, "max_queries": str(head_of(net).max_queries)}
    if net.num_branches > 1:
        header |= {"num_branches": str(net.num_branches), "max_factor": str(int(MAX_FACTOR))}
    models = encoder_graph(net), decoder_graph(net)
    for model in models:
        onnx.helper.set_model_props(model, dict(header))
    encoder, decoder = (model.SerializeToString() for model in models)
    check_onnx(net, encoder, decoder)
    return encoder, decoder


def check_onnx(net: ArbitraryScaleArch, encoder: bytes, decoder: bytes) -> float:
    """The largest difference between the graphs, run by onnxruntime on the CPU, and the network.

    Raises:
        UserError: It exceeds ``TOLERANCE``, or a graph does not run.
    """
    worst = 0.0
    for lq_size, size in _CHECK_SIZES:
        lq = torch.rand(1, 3, *lq_size, generator=torch.Generator().manual_seed(0))
        try:
            image = run_onnx(_session(encoder), _session(decoder), lq.numpy(), size, net.num_branches)
        except Exception as error:  # onnxruntime's exceptions have no common base class
            raise UserError(f"{_named(net)}: onnxruntime fails ({_first_line(error)}); nothing is written") from error
        difference = float(np.abs(image - net.upscale(lq, size)[0].permute(1, 2, 0).numpy()).max())
        if not difference <= TOLERANCE:
            text = f"differs by {difference:.1e} from {lq_size[1]}x{lq_size[0]} to {size[1]}x{size[0]}"
            raise UserError(f"{_named(net)}: its ONNX graph {text}; nothing is written")
        worst = max(worst, difference)
    return worst


def run_onnx(
    encoder: Any, decoder: Any, lq: np.ndarray, size: Size, num_branches: int, block: int = 2000
) -> np.ndarray:
    """Upscale lq (1, 3, H, W) to (H_out, W_out, 3) by two onnxruntime sessions."""
    features = encoder.run(None, {"lq": lq})[0]
    coord, cell = make_coord(size).numpy(), make_cell(size).numpy()
    inputs: dict[str, np.ndarray] = {"features": features, "cell": cell}
    if num_branches > 1:
        stages = greedy_stage_sizes((lq.shape[2], lq.shape[3]), size, num_branches)
        inputs["stage_sizes"] = np.array(stages, np.int64).reshape(-1, 2)
    parts = [decoder.run(None, {**inputs, "coord": coord[i : i + block]})[0] for i in range(0, len(coord), block)]
    return np.concatenate(parts).reshape(*size, 3)


class EncoderPart(nn.Module):
    """The part that runs once per image: normalisation, encoder and, in CLIT, the convolution after it."""

    def __init__(self, net: ArbitraryScaleArch) -> None:
        super().__init__()
        self.encoder = net.encoder
        self.conv = head_of(net).conv
        self.bilinear_skip = net.bilinear_skip

    def forward(self, lq: Tensor) -> Tensor:
        lq = (lq - 0.5) / 0.5
        features = self.conv(self.encoder(lq))
        return torch.cat([features, lq], 1) if self.bilinear_skip else features


def encoder_graph(net: ArbitraryScaleArch) -> onnx.ModelProto:
    """The encoder, by torch's exporter; its optimiser is off because it rounds constants below 1e-8 to zero."""
    if "optimize" not in inspect.signature(torch.onnx.export).parameters:
        raise UserError(f"ONNX needs torch 2.6 or newer, this is {torch.__version__}")
    height, width = torch.export.Dim("height", min=1), torch.export.Dim("width", min=1)
    try:
        with _silent():
            program = torch.onnx.export(
                EncoderPart(net).eval(),
                (torch.zeros(1, 3, *_TRACE_SIZE),),
                dynamo=True,
                optimize=False,
                opset_version=OPSET,
                input_names=["lq"],
                output_names=["features"],
                dynamic_shapes={"lq": {2: height, 3: width}},
            )
    except Exception as error:  # the exporter may raise anything
        name = type(net.encoder).__name__
        raise UserError(f"encoder {name}: torch cannot export it to ONNX for every image size") from error
    assert program is not None
    model = program.model_proto
    model.ir_version, model.producer_name = IR_VERSION, "clit_plugin"
    return model


def decoder_graph(net: ArbitraryScaleArch) -> onnx.ModelProto:
    """The decoder, from features to colours of queries, built operator by operator."""
    g, head = OnnxGraph(), head_of(net)
    channels = head.channels
    queries = Queries(y=g.column("coord", 0), x=g.column("coord", 1), cell="cell")
    feature = g.op("Slice", "features", [0], [channels], [1]) if net.bilinear_skip else "features"
    inputs: dict[str, tuple[int, list[str | int]]] = {
        "features": (TensorProto.FLOAT, [1, channels + 3 * net.bilinear_skip, "height", "width"]),
        "coord": (TensorProto.FLOAT, ["queries", 2]),
        "cell": (TensorProto.FLOAT, [2]),
        **head.inputs,
    }
    residual = head.residual(g, feature, queries)
    if net.bilinear_skip:
        residual = g.add(residual, _bilinear(g, g.op("Slice", "features", [channels], [channels + 3], [1]), queries))
    rgb = g.add(g.mul(residual, 0.5), 0.5)
    model = g.model(inputs, ("rgb", rgb, ["queries", 3]))
    onnx.checker.check_model(model, full_check=True)
    return model


def _bilinear(g: OnnxGraph, image: Value, queries: Queries) -> Value:
    """The image (1, 3, H, W) at the queries, its border repeated: (Q, 3)."""
    grid = g.concat([g.reshape(value, [1, 1, -1, 1]) for value in (queries.x, queries.y)], 3)
    sampled = g.op("GridSample", image, grid, mode="bilinear", padding_mode="border", align_corners=0)
    return g.op("Transpose", g.op("Squeeze", sampled, [0, 2]), perm=[1, 0])


def _named(net: ArbitraryScaleArch) -> str:
    return f"{type(net).__name__} with a {type(net.encoder).__name__} encoder"


def _session(model: bytes) -> Any:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # errors are raised
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]


@contextlib.contextmanager
def _silent() -> Iterator[None]:
    """Suppress what the exporter prints, logs and warns about."""
    with (
        warnings.catch_warnings(),
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.redirect_stderr(io.StringIO()),
    ):
        warnings.simplefilter("ignore")
        before = logging.root.manager.disable
        logging.disable(logging.CRITICAL)
        try:
            yield
        finally:
            logging.disable(before)
