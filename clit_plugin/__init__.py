"""CLIT and LIT, arbitrary-scale super-resolution, as a BasicSR plugin.

Importing the package makes BasicSR importable on current torchvision, lets it train without a GPU, and fills its ARCH,
DATASET, MODEL and METRIC registries.
"""

from clit_plugin import compat

try:
    compat.install()
except ImportError as error:
    compat.end_command(error)
    raise

from clit_plugin import archs, metrics  # noqa: E402
from clit_plugin.data import arbitrary_scale_paired_dataset  # noqa: E402
from clit_plugin.models import cumulative_scale_model  # noqa: E402

__all__ = ["archs", "arbitrary_scale_paired_dataset", "cumulative_scale_model", "metrics"]
__version__ = "0.1.0"
