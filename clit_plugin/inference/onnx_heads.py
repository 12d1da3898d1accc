"""What an ONNX graph needs to know of the layers after a network's encoder."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from onnx import TensorProto
from torch import nn

from clit_plugin.archs.arbitrary_scale_arch import ArbitraryScaleArch
from clit_plugin.archs.clit_arch import CLIT
from clit_plugin.archs.encoders.registry import out_channels
from clit_plugin.archs.local_implicit_arch import LocalImplicitArch
from clit_plugin.inference.onnx_clit import clit_residual
from clit_plugin.inference.onnx_graph import OnnxGraph, Value
from clit_plugin.inference.onnx_implicit import implicit_residual
from clit_plugin.inference.onnx_map import Queries

_IMPLICIT_QUERIES = 65536


@dataclass(frozen=True, kw_only=True)
class Head:
    """The layers after the encoder.

    Attributes:
        channels: Channels of the features.
        max_queries: The largest block of queries within about 256 MB.
        residual: Builds the prediction (Q, 3) from the features (1, C, H, W) and a block of queries.
        conv: The layer after the encoder, applied once per image.
        inputs: Type and shape of further inputs of the decoder, by name.
    """

    channels: int
    max_queries: int
    residual: Callable[[OnnxGraph, Value, Queries], Value]
    conv: nn.Module = field(default_factory=nn.Identity)
    inputs: Mapping[str, tuple[int, list[str | int]]] = field(default_factory=dict)


def head_of(net: ArbitraryScaleArch) -> Head:
    """The head of CLIT, LIIF, LTE or Meta-SR."""
    if isinstance(net, CLIT):
        clit, stages = net, "stage_sizes" if net.num_branches > 1 else None
        return Head(
            channels=net.conv_feat.out_channels,
            max_queries=net.default_max_queries(1),
            residual=lambda graph, feature, queries: clit_residual(graph, clit, feature, queries, stages),
            conv=net.conv_feat,
            inputs={} if stages is None else {stages: (TensorProto.INT64, ["stages", 2])},
        )
    assert isinstance(net, LocalImplicitArch)
    implicit = net
    return Head(
        channels=out_channels(net.encoder),
        max_queries=_IMPLICIT_QUERIES,
        residual=lambda graph, feature, queries: implicit_residual(graph, implicit, feature, queries),
    )
