"""Functions that the caller hands in, called from inside adapters.

Adapters turn foreign exceptions into errors of their own technology. What an observer or a stop question raises is none
of those: it is carried past them and reaches the caller as it was raised.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


class CallerError(BaseException):
    """Carries ``error``, raised by a function of the caller. A ``BaseException``: nothing takes it for its own."""

    def __init__(self, error: Exception) -> None:
        super().__init__(str(error) or type(error).__name__)
        self.error = error


def shielded(function: Callable[P, T]) -> Callable[P, T]:
    """Give the same function, its exceptions wrapped for the way through adapters."""

    def call(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return function(*args, **kwargs)
        except Exception as exc:
            raise CallerError(exc) from exc

    return call


@contextmanager
def unwrapped() -> Iterator[None]:
    """Raise the caller's own exception again at the end of its way."""
    try:
        yield
    except CallerError as exc:
        raise exc.error from exc.error.__cause__
