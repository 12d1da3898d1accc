"""The networks: parameters, and the plain equations of their papers. Importing this package registers them.

``README.md`` beside this file says where each equation is and how to add a system.
"""

from clit_plugin.archs.bicubic_arch import Bicubic
from clit_plugin.archs.clit_arch import CLIT
from clit_plugin.archs.encoders import ENCODER_REGISTRY, build_encoder
from clit_plugin.archs.ipe_arch import IPE
from clit_plugin.archs.liif_arch import LIIF
from clit_plugin.archs.lte_arch import LTE
from clit_plugin.archs.meta_sr_arch import MetaSR
from clit_plugin.archs.ultra_sr_arch import UltraSR

__all__ = ["CLIT", "ENCODER_REGISTRY", "IPE", "LIIF", "LTE", "Bicubic", "MetaSR", "UltraSR", "build_encoder"]
