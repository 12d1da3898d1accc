"""LMDBs of images: written, read and checked."""
