"""What BasicSR's metrics lack: floats, and the evaluation protocols of the field."""

from clit_plugin.metrics.float_metrics import psnr_float, ssim_float
from clit_plugin.metrics.protocol import Protocol

__all__ = ["Protocol", "psnr_float", "ssim_float"]
