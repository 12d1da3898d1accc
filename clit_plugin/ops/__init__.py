"""Geometry and equations: pure functions of tensors and arrays."""
