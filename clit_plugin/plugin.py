"""Importing this makes BasicSR importable and fills its registries; ``import clit_plugin`` does it."""

from clit_plugin.basicsr_bridge import patches

patches.install()

from clit_plugin import archs  # noqa: E402
from clit_plugin.basicsr_bridge import entry  # noqa: E402
from clit_plugin.commands.basicsr_arguments import split_arguments  # noqa: E402
from clit_plugin.config import basicsr_orders  # noqa: E402
from clit_plugin.data import arbitrary_scale_paired_dataset  # noqa: E402
from clit_plugin.metrics import float_metrics  # noqa: E402
from clit_plugin.models import cumulative_scale_model  # noqa: E402

entry.install(basicsr_orders.is_ours, basicsr_orders.read_order, split_arguments)

__all__ = ["archs", "arbitrary_scale_paired_dataset", "cumulative_scale_model", "float_metrics"]
