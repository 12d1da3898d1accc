"""Errors that users can correct."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType

# What PyTorch puts before the message of an exception that is raised in a DataLoader worker.
_TRACEBACK = re.compile(r"clit_plugin\.utils\.errors\.\w+: ")


class UserError(Exception):
    """Bad input: one line that names the culprit and the remedy, as ``WHERE: what is wrong; what to do``.

    Commands print it without a traceback and exit with status 2.

    Args:
        text: The message. PyTorch rebuilds a DataLoader worker's error from its traceback, of which only the message is
            kept.
    """

    def __init__(self, text: str) -> None:
        super().__init__(_TRACEBACK.split(text)[-1].rstrip() if _TRACEBACK.search(text) else text)

    @property
    def problems(self) -> list[str]:
        """The problems, one line each."""
        return [str(self)]

    def at(self, where: str) -> "UserError":
        """The same error with the prefix ``where`` on every problem that lacks it."""
        texts = (text if text.startswith(f"{where}:") else f"{where}: {text}" for text in self.problems)
        return type(self)("\n".join(texts))


@contextmanager
def located(where: str) -> Iterator[None]:
    """Prefix the problems of a UserError with ``where``, a file or an option; see ``UserError.at``."""
    try:
        yield
    except UserError as error:
        raise error.at(where) from error


class IncompleteError(UserError):
    """An error after part of the work was done and kept: exit status 1."""


class CombinedUserError(UserError):
    """Several problems at once, one per line of the text."""

    @property
    def problems(self) -> list[str]:
        return str(self).splitlines()


class Problems:
    """Collects problems to report together: ``with problems: ...`` catches a UserError and records it."""

    def __init__(self) -> None:
        self.found: list[str] = []

    def add(self, text: str) -> None:
        """Add a problem, unless it has been added already."""
        if text not in self.found:
            self.found.append(text)

    def raise_found(self) -> None:
        """Raise UserError for one problem, CombinedUserError for several."""
        if self.found:
            raise (UserError if len(self.found) == 1 else CombinedUserError)("\n".join(self.found))

    def __enter__(self) -> "Problems":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        if not isinstance(error, UserError):
            return False
        for text in error.problems:
            self.add(text)
        return True
