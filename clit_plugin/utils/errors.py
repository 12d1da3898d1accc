"""The error that a user can mend."""

from types import TracebackType


class UserError(Exception):
    """Bad input: one line that names the culprit and the remedy.

    Commands print it without a traceback and exit with status 2. Raise it with a single string only: a data loader's
    worker rebuilds the exception from its text.
    """

    @property
    def problems(self) -> list[str]:
        """What is wrong, a line each."""
        return [str(self)]


class IncompleteError(UserError):
    """The same, once part of the work is done and kept: exit status 1."""


class CombinedUserError(UserError):
    """Several things wrong at once: each is a line of the text."""

    @property
    def problems(self) -> list[str]:
        return str(self).splitlines()


class Problems:
    """Gathers what is wrong, to be told at once: ``with problems: ...`` keeps a UserError and goes on behind it."""

    def __init__(self) -> None:
        self.found: list[str] = []

    def add(self, text: str) -> None:
        """One more, unless it is known."""
        if text not in self.found:
            self.found.append(text)

    def raise_found(self) -> None:
        """Raise UserError for one, CombinedUserError for several."""
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
