"""Progress of this process, which ``peers`` reports to the other ranks."""

_count, _doing = 0, "the start"


def report(doing: str) -> None:
    """Record that this process has made progress, and what it does next."""
    global _count, _doing
    _count, _doing = _count + 1, doing


def current() -> tuple[int, str]:
    """Number of reports so far, and what the process is doing now."""
    return _count, _doing
