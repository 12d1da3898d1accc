"""CLIT and LIT, arbitrary-scale super-resolution, as a BasicSR plugin.

Importing the package makes BasicSR importable on current torchvision, lets it train without a GPU, and fills its ARCH,
DATASET, MODEL and METRIC registries. The command ``clit`` delays this until it has parsed its arguments.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from clit_plugin.utils import startup

if TYPE_CHECKING:
    from clit_plugin.archs.encoders import ENCODER_REGISTRY
    from clit_plugin.inference.upscaler import load
    from clit_plugin.official.convert import load_official

__version__ = "0.1.0"
__all__ = ["ENCODER_REGISTRY", "load", "load_official"]

_PUBLIC = {
    "ENCODER_REGISTRY": "clit_plugin.archs.encoders",
    "load": "clit_plugin.inference.upscaler",
    "load_official": "clit_plugin.official.convert",
}

startup.bound_spinning()
if not startup.is_command():
    from clit_plugin import plugin  # noqa: F401


def __getattr__(name: str) -> Any:
    """Public names, imported at first use: torch and BasicSR take seconds."""
    if name not in _PUBLIC:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import_module("clit_plugin.plugin")
    return getattr(import_module(_PUBLIC[name]), name)
