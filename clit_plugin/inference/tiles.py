"""The sides of the tiles in which an encoder sees an image, in pixels."""

ALIGNMENT = 8  # the side of SwinIR's windows, so that tiles are divided into windows as the whole image is
TILE = 512  # by default
