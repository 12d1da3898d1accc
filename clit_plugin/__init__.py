"""CLIT and LIT, arbitrary-scale super-resolution, as a BasicSR plugin.

Importing the package makes BasicSR importable on current torchvision, lets it train without a GPU, and fills its ARCH,
DATASET, MODEL and METRIC registries. The command ``clit`` does so only after it has read its arguments.
"""

from clit_plugin import startup

startup.bound_spinning()
if not startup.is_command():
    from clit_plugin import plugin  # noqa: F401

__version__ = "0.1.0"
