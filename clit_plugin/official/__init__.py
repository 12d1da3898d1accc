"""Checkpoints of the original CLIT, LIIF and LTE repositories, rebuilt as our networks."""
