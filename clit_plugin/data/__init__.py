"""Data: the paired data set with its schedule, and LMDB preparation."""
