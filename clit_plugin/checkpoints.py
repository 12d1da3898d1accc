"""``clit_plugin.checkpoints.load_official``, as it has always been called; see ``clit_plugin.official``."""

from clit_plugin.official.convert import load_official

__all__ = ["load_official"]
