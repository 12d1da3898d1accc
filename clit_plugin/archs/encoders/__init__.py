"""Encoders, one per file; importing this package registers them."""

from clit_plugin.archs.encoders.basicsr_features import BasicSRFeatures
from clit_plugin.archs.encoders.edsr import EDSR, EDSRBaseline
from clit_plugin.archs.encoders.rcan import RCAN
from clit_plugin.archs.encoders.rdn import RDN
from clit_plugin.archs.encoders.registry import ENCODER_REGISTRY, build_encoder
from clit_plugin.archs.encoders.swinir import SwinIR

__all__ = [
    "EDSR",
    "ENCODER_REGISTRY",
    "RCAN",
    "RDN",
    "BasicSRFeatures",
    "EDSRBaseline",
    "SwinIR",
    "build_encoder",
]
