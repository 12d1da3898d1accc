"""Reports exceptions of constructors and functions that are called with options as errors of those options."""

import inspect
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from clit_plugin.utils.errors import UserError


@contextmanager
def blaming(where: str, called: Callable[..., Any] | None) -> Iterator[None]:
    """Turn the exceptions of a call into UserErrors, with the message of ``placed``."""
    try:
        yield
    except (ArithmeticError, AssertionError, LookupError, RuntimeError, TypeError, ValueError) as error:
        raise UserError(placed(where, called, error)) from error


def placed(where: str, called: Callable[..., Any] | None, error: Exception) -> str:
    """An exception's message, prefixed with the option that is to blame.

    Constructors begin a message with the argument's name, as in ``num_feat: expected at least 1, got 0``. At
    ``encoder`` this becomes ``encoder.num_feat: ...``; any other message becomes ``encoder: ...``.

    Args:
        where: Key of the options.
        called: The class or function that was called with them; None if none of its arguments can be the culprit.
        error: The exception.
    """
    message = " ".join(str(error).split()) or type(error).__name__
    named = re.match(r"(\w+)[\w.]*: ", message)
    of_call = named and called and named[1] in inspect.signature(called).parameters
    return f"{where}{'.' if of_call else ': '}{message}"
