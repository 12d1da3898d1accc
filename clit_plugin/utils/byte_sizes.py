"""Human-readable sizes of files and memory."""


def byte_size(count: float) -> str:
    """A number of bytes as ``1.2 kB``, ``3.4 MB`` or ``5.6 GB``."""
    unit, name = next(((unit, name) for unit, name in _UNITS if count >= unit), _UNITS[-1])
    return f"{count / unit:.1f} {name}"


_UNITS = ((1e9, "GB"), (1e6, "MB"), (1e3, "kB"))
