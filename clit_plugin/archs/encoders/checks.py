"""Checks of constructor arguments."""


def check_positive(**sizes: int) -> None:
    """Raise ValueError, with the argument's name, for a size below 1."""
    for name, size in sizes.items():
        if size < 1:
            raise ValueError(f"{name}: expected at least 1, got {size}")
