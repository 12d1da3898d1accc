"""Exceptions of what is called with options, reported as errors of the options."""

import inspect
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from clit_plugin.utils.errors import UserError


@contextmanager
def blaming(where: str, called: Callable[..., Any] | None) -> Iterator[None]:
    """Turn what a call raises into a UserError at ``where``, or at the argument that the message begins with."""
    try:
        yield
    except (ArithmeticError, AssertionError, LookupError, RuntimeError, TypeError, ValueError) as error:
        message = " ".join(str(error).split()) or type(error).__name__
        named = re.match(r"(\w+)[\w.]*: ", message)
        of_call = named and called and named[1] in inspect.signature(called).parameters
        raise UserError(f"{where}{'.' if of_call else ': '}{message}") from error
