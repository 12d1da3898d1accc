"""The original location of ``load_official``, which is now in ``clit_plugin.official``."""

from clit_plugin.official.convert import load_official

__all__ = ["load_official"]
