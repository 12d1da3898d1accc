"""Progress of this process, for the thread that reports it to the other ranks."""

_count, _doing = 0, "the start"


def made(doing: str) -> None:
    """Record that this process makes progress, and what it does next."""
    global _count, _doing
    _count, _doing = _count + 1, doing


def so_far() -> tuple[int, str]:
    """How often progress was made, and what the process is doing now."""
    return _count, _doing
