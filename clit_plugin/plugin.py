"""Importing this makes BasicSR importable and fills its registries; ``import clit_plugin`` does it."""

from clit_plugin import compat

compat.install()

from clit_plugin import archs, metrics  # noqa: E402
from clit_plugin.data import arbitrary_scale_paired_dataset  # noqa: E402
from clit_plugin.models import cumulative_scale_model  # noqa: E402

__all__ = ["archs", "arbitrary_scale_paired_dataset", "cumulative_scale_model", "metrics"]
