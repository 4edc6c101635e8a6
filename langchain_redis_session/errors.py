"""The errors of langchain-redis-session: one tree, each leaf also a builtin.

```
RedisSessionError
 ├─ ConfigurationError            (ValueError)       an option, URL or argument that can't work
 ├─ InvalidSessionKeyError        (ValueError)       an id that is empty, too long or not text
 ├─ SessionNotFoundError          (LookupError)      a write to a session that does not exist
 ├─ UnserializableMessageError    (TypeError)        a value that JSON can't carry
 ├─ EventTooLargeError            (ValueError)       an event over `max_event_bytes`
 ├─ StateTooLargeError            (ValueError)       a session's state over `max_state_bytes`
 ├─ CorruptEventError             (ValueError)       an unreadable entry, with `strict=True`
 ├─ EventRejectedError                               a hook's veto
 ├─ RedisInstanceNotFoundError    (LookupError)      a name nobody registered
 ├─ PersistError                                     write-behind could not take or keep an event
 ├─ SummaryError                                     a summary could not be made
 ├─ SessionServiceClosedError                        a call after `close()`
 └─ BackendUnavailableError       (ConnectionError)  Redis is down, loading, read-only or full
```

Catch `RedisSessionError` for all of them, or the builtin you would catch anyway:

>>> try:
...     raise SessionNotFoundError("no session 's1'")
... except LookupError as error:
...     print(error)
no session 's1'
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

__all__ = [
    "BackendUnavailableError",
    "ConfigurationError",
    "CorruptEventError",
    "EventRejectedError",
    "EventTooLargeError",
    "InvalidSessionKeyError",
    "PersistError",
    "RedisInstanceNotFoundError",
    "RedisSessionError",
    "SessionNotFoundError",
    "SessionServiceClosedError",
    "StateTooLargeError",
    "SummaryError",
    "UnserializableMessageError",
    "shorten",
    "suggest",
]


class RedisSessionError(Exception):
    """The root: everything this package raises on purpose is one of these."""


class ConfigurationError(RedisSessionError, ValueError):
    """An option, a URL or an argument can't work as given."""


class InvalidSessionKeyError(RedisSessionError, ValueError):
    """An id (app, user, session or track) is empty, too long or not valid text."""


class SessionNotFoundError(RedisSessionError, LookupError):
    """The session to write to does not exist, or has expired."""


class UnserializableMessageError(RedisSessionError, TypeError):
    """A message or a state value holds something that JSON can't carry."""


class EventTooLargeError(RedisSessionError, ValueError):
    """An event's JSON is larger than `max_event_bytes`."""


class StateTooLargeError(RedisSessionError, ValueError):
    """A change would make a session's record, which holds its state, exceed `max_state_bytes`."""


class CorruptEventError(RedisSessionError, ValueError):
    """An entry in Redis can't be read, and the caller asked for `strict=True`."""


class EventRejectedError(RedisSessionError):
    """A hook vetoed the operation; nothing was written."""


class BudgetExceededError(EventRejectedError):
    """A `UsageBudget` is used up; nothing was written."""


class RedisInstanceNotFoundError(RedisSessionError, LookupError):
    """No Redis instance is registered under this name."""


class PersistError(RedisSessionError):
    """Write-behind could not accept or deliver an event."""


class SummaryError(RedisSessionError):
    """A summary could not be made."""


class SessionServiceClosedError(RedisSessionError):
    """The service was closed before this call."""


class BackendUnavailableError(RedisSessionError, ConnectionError):
    """Redis did not do it: down, loading, read-only, or out of memory.

    The error of redis-py is the `__cause__`.
    """


def fails_again(
    error: Exception, function: Callable[P, object], *args: P.args, **kwargs: P.kwargs
) -> bool:
    """Whether a call that has raised an error raises the like once more.

    A value's class may raise anything, and the answer is a plainer form of the value. But what a
    signal's handler raises meanwhile (a worker's soft time limit, say) has nothing to do with the
    value, and must reach the caller: it is what is not raised a second time.

    >>> fails_again(ValueError(), int, "x"), fails_again(ValueError(), int, "1")
    (True, False)
    """
    from_outside = None
    for _ in range(2):
        try:
            function(*args, **kwargs)
        except Exception as another:
            if type(another) is not type(error):
                from_outside = another
                continue
            if from_outside is not None:
                raise from_outside from None
            return True
        break
    return False


def attempt(function: Callable[[], T], otherwise: Callable[[], T]) -> T:
    """Give what a function returns, or where that fails, what another one does.

    >>> attempt(lambda: int("x"), lambda: 0)
    0
    """
    try:
        return function()
    except Exception as error:
        if not fails_again(error, function):
            raise
    return otherwise()


def shorten(value: object, length: int = 80) -> str:
    """Give `repr(value)` in at most `length` characters, for error messages.

    >>> shorten("x" * 100, 12)
    "'xxxxxxxxxx…"
    """
    # It may be too deep, an integer too long, or code of the caller's class.
    text = attempt(lambda: repr(value), lambda: f"<{type(value).__name__}>")
    return text if len(text) <= length else text[: length - 1] + "…"


def suggest(name: str, known: Iterable[str], elsewhere: str = "") -> str:
    """Give the end of a message on an unknown name: what was meant, where one is near.

    Args:
        name: What was given.
        known: What there is.
        elsewhere: What to say rather than guess, where the name is known in another place.

    >>> suggest("session_tll", ["session_ttl", "key_prefix"])
    "; did you mean 'session_ttl'?"
    >>> suggest("ttl", ["session_ttl", "key_prefix"])
    "; did you mean 'session_ttl'?"
    >>> suggest("colour", ["session_ttl", "key_prefix"])
    ''
    """
    import difflib  # which few processes need

    known = list(known)
    near = (
        difflib.get_close_matches(name, known, 1, 0.8)
        or [each for each in known if _has_words_of(each, name) or _has_words_of(name, each)]
        or (not elsewhere and difflib.get_close_matches(name, known, 1))
    )
    if not near:
        return elsewhere
    return f"; did you mean {near[0]!r}?"


def _has_words_of(name: str, other: str) -> bool:
    """Whether all of the other name stands in a name, as `ttl` does in `session_ttl`."""
    return f"_{other}_" in f"_{name}_"
