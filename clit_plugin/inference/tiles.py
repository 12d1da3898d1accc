"""Sides of tiles, in LR pixels."""

ALIGNMENT = 8  # the side of SwinIR's windows: aligned tiles are divided into windows as the whole image is
TILE = 512  # the default
