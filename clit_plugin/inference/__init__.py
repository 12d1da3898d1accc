"""Trained weights applied to images: what the commands ``upscale``, ``attention`` and ``figure`` share."""
