"""Architectures, registered in BasicSR's ARCH_REGISTRY, and encoders, in our ENCODER_REGISTRY."""

from clit_plugin.archs.clit_arch import CLIT
from clit_plugin.archs.encoders import ENCODER_REGISTRY, build_encoder

__all__ = ["CLIT", "ENCODER_REGISTRY", "build_encoder"]
