"""The error that a user can mend."""


class UserError(Exception):
    """Bad input: one line that names the culprit and the remedy.

    Commands print it without a traceback and exit with status 2. Raise it with a single string only: a data loader's
    worker rebuilds the exception from its text.
    """


class IncompleteError(UserError):
    """The same, once part of the work is done and kept: exit status 1."""
