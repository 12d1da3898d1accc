"""How far this process has come, for a thread that tells the other processes of the run."""

_count, _doing = 0, "the start"


def made(doing: str) -> None:
    """Note that this process goes on, and with what."""
    global _count, _doing
    _count, _doing = _count + 1, doing


def so_far() -> tuple[int, str]:
    """How often it has gone on, and with what it is busy now."""
    return _count, _doing
