"""Showing never raises: where a value can't be shown, a plain text says so.

Everything that shows goes through here: each `__repr__`, `__str__` and `_repr_html_` of the
package is a `shows`, and what may fail on the way to it an `attempt`. No other module of
`_display` catches anything.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial, wraps
from typing import Any, TypeVar

from langchain_redis_session._signals import find_interruption

S = TypeVar("S")
T = TypeVar("T")

_LONGEST_ERROR = 200


def attempt(show: Callable[[], T], instead: Callable[[Exception], T]) -> T:
    """Call `show`; whatever it raises, call `instead`.

    What a signal's handler raises meanwhile (a time limit, say) is no fault of the value, and
    goes on to the caller.

    >>> attempt(lambda: str(1 / 0), lambda error: type(error).__name__)
    'ZeroDivisionError'
    """
    try:
        return show()
    except Exception as error:
        if find_interruption(error) is not None:
            raise
        return instead(error)


def shows(method: Callable[[S], str]) -> Callable[[S], str]:
    """Let a method that shows an object never raise.

    >>> class Broken:
    ...     @shows
    ...     def __repr__(self) -> str:
    ...         raise OverflowError("too late")
    >>> Broken()
    <Broken: can't be shown: OverflowError: too late>
    """
    instead = _excuse_on_page if method.__name__ == "_repr_html_" else _excuse

    @wraps(method)
    def show(self: S) -> str:
        return attempt(partial(method, self), partial(instead, self))

    setattr(show, _MARK, True)
    return show


_MARK = "is_guarded"


def is_guarded(method: object) -> bool:
    """Whether a method is a `shows`."""
    return getattr(method, _MARK, False) is True


def _excuse(shown: Any, error: Exception) -> str:
    return f"<{type(shown).__name__}: can't be shown: {_tell(error)}>"


def _excuse_on_page(shown: Any, error: Exception) -> str:
    import html  # which almost no process needs

    text = f"{type(shown).__name__} can't be shown: {_tell(error)}"
    return f"<pre>{html.escape(text)}</pre>"


def _tell(error: Exception) -> str:
    name = type(error).__name__
    text = attempt(partial(str, error), lambda _: "")[: _LONGEST_ERROR + 1]
    # A page can't carry everything that a string can.
    line = " ".join(text.encode("ascii", "backslashreplace").decode().split())
    if len(line) > _LONGEST_ERROR:
        line = f"{line[:_LONGEST_ERROR]}..."
    return f"{name}: {line}" if line else name
