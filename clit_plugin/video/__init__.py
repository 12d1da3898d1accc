"""Upscaling videos: frames are read, enlarged and encoded in parts, which are finally joined with the sound."""
