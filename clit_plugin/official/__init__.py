"""Checkpoints of the original CLIT, LIIF and LTE repositories, converted to our networks."""
