"""Messages and progress bars on stderr, from rank 0 only; ``--quiet`` leaves only warnings and errors."""

import os
import sys
import time
import warnings
from collections.abc import Iterable, Iterator, Sized
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Any, Generic, TypeAlias, TypeVar

from tqdm import tqdm

from clit_plugin.utils.byte_sizes import byte_size

T = TypeVar("T")

_SECONDS_BETWEEN_LINES = 60.0
_LINE = "{desc}: {percentage:.0f}%, {n_fmt} of {total_fmt}{unit} [{elapsed}<{remaining}]"
_quiet = False


def set_quiet(quiet: bool) -> None:
    """Turn the output of ``say`` and ``bar`` off or on; warnings and errors are always written."""
    global _quiet
    _quiet = quiet


def is_quiet() -> bool:
    """Whether only warnings and errors are written."""
    return _quiet


@contextmanager
def silent_stdout() -> Iterator[None]:
    """Discard what the block prints, if quiet."""
    if not _quiet:
        yield
        return
    with open(os.devnull, "w") as nowhere, redirect_stdout(nowhere):
        yield


def say(text: str) -> None:
    """Write a line above any progress bar, unless quiet; under torchrun, only on rank 0."""
    if not _quiet:
        warn(text)


def warn(text: str) -> None:
    """Write a line even if quiet; under torchrun, only on rank 0."""
    if os.environ.get("RANK", "0") == "0":
        tqdm.write(text, file=sys.stderr)


def written(path: str | Path, seconds: float, what: str = "") -> str:
    """A line about a file or folder that was written: its path, ``what`` it is, its size and the time it took.

    Raises:
        OSError: The file does not exist.
    """
    path = Path(path)
    size = sum(file.stat().st_size for file in (path.rglob("*") if path.is_dir() else [path]))
    return f"{path}: {f'{what}, ' * bool(what)}{byte_size(size)}, {seconds:.1f} s"


class MinuteLines(Generic[T]):
    """Replaces a progress bar when stderr is a file or a pipe: one line per minute, none for shorter work.

    It implements the part of tqdm's interface that this package and BasicSR's validation use.
    """

    def __init__(
        self, iterable: Iterable[T] = (), *, desc: str, total: float | None, unit: str, unit_scale: bool, initial: int
    ) -> None:
        self.iterable, self.desc, self.total, self.n = iterable, desc, total, float(initial)
        self.unit, self.unit_scale, self.initial = unit, unit_scale, initial
        self.started = self.last = time.monotonic()

    def __enter__(self) -> "MinuteLines[T]":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def __iter__(self) -> Iterator[T]:
        for item in self.iterable:
            yield item
            self.update()

    def update(self, n: float | None = 1) -> None:
        """Count ``n`` more items as done."""
        self.n += n or 0
        now = time.monotonic()
        if now - self.last < _SECONDS_BETWEEN_LINES:
            return
        self.last = now
        line = tqdm.format_meter(
            self.n if self.unit_scale else int(self.n),
            self.total or 0,  # tqdm takes 0 as unknown
            now - self.started,
            prefix=self.desc or "Progress",
            unit=f" {self.unit}",
            unit_scale=self.unit_scale,
            initial=self.initial,
            bar_format=_LINE if self.total else None,
        )
        sys.stderr.write(line + "\n")
        sys.stderr.flush()

    def set_description(self, desc: str | None = None, refresh: bool | None = True) -> None:
        """Set the prefix of the following lines."""
        self.desc = desc or ""

    def close(self) -> None:
        """Do nothing: there is no bar to clear."""


AnyBar: TypeAlias = "tqdm[Any] | MinuteLines[Any]"


def in_notebook() -> bool:
    """Whether this process is a notebook's kernel, whose stderr is not a terminal."""
    return "ipykernel" in sys.modules


def _notebook_tqdm() -> "type[tqdm[Any]]":
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # without ipywidgets it is the bar of a terminal
        from tqdm.auto import tqdm as notebook_tqdm
    return notebook_tqdm


def bar(
    iterable: Iterable[T] | None = None,
    *,
    desc: str = "",
    total: float | None = None,
    unit: str = "it",
    unit_scale: bool = False,
    initial: int = 0,
    leave: bool = True,
    delay: float = 0,
    disable: bool = False,
) -> "tqdm[T] | MinuteLines[T]":
    """A progress bar on a terminal or in a notebook, ``MinuteLines`` elsewhere. The arguments are tqdm's.

    Nothing is shown if ``disable`` or quiet, or on ranks other than 0.
    """
    disable = disable or _quiet or os.environ.get("RANK", "0") != "0"
    notebook = in_notebook()
    items: Iterable[T] = () if iterable is None else iterable
    if total is None and iterable is not None and isinstance(iterable, Sized):
        total = len(iterable)
    if disable or notebook or sys.stderr.isatty():
        return (_notebook_tqdm() if notebook else tqdm)(
            items,
            desc=desc,
            total=total,
            unit=unit,
            unit_scale=unit_scale,
            initial=initial,
            leave=leave,
            delay=delay,
            disable=disable,
        )
    return MinuteLines(items, desc=desc, total=total, unit=unit, unit_scale=unit_scale, initial=initial)
