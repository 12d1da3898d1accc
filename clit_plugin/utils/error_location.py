"""Errors of constructors and functions that are called with options, prefixed with the key of the faulty option."""

import inspect
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from clit_plugin.utils.errors import UserError


@contextmanager
def errors_at(where: str, function: Callable[..., Any] | None) -> Iterator[None]:
    """Raise the exceptions of a call as UserErrors; arguments as in ``located_message``."""
    try:
        yield
    except (ArithmeticError, AssertionError, LookupError, RuntimeError, TypeError, ValueError) as error:
        raise UserError(located_message(where, function, error)) from error


def located_message(where: str, function: Callable[..., Any] | None, error: Exception) -> str:
    """The message of an exception, prefixed with the key of the option that caused it.

    Constructors begin a message with the argument's name, as in ``num_feat: expected at least 1, got 0``. At
    ``encoder`` this becomes ``encoder.num_feat: ...``; any other message becomes ``encoder: ...``.

    Args:
        where: Key of the options.
        function: The class or function that was called with them; None if no single argument can be at fault.
        error: The exception.
    """
    message = " ".join(str(error).split()) or type(error).__name__
    prefix = re.match(r"(\w+)[\w.]*: ", message)
    names_argument = prefix and function and prefix[1] in inspect.signature(function).parameters
    return f"{where}{'.' if names_argument else ': '}{message}"
