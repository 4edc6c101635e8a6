"""What to say of a call that does not fit a method: the public name, and what was meant."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from langchain_redis_session.config import tell_owners
from langchain_redis_session.errors import InvalidSessionKeyError, shorten, suggest
from langchain_redis_session.models import SessionKey


def explain_call(
    error: TypeError,
    owner: object,
    name: str,
    function: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
) -> Exception:
    """Give a better error for arguments that a function could not be called with.

    Args:
        error: What Python says.
        owner: Whose method was called.
        name: The name that it was called by.
        function: What it calls; its first parameter is the owner.
        args: What it was called with, in order.
        kwargs: What it was called with, by name.
    """
    _, *known = inspect.signature(function).parameters
    if known[:1] == ["key"] and len(args) > 2 and all(isinstance(id_, str) for id_ in args[:3]):
        ids = ", ".join(map(shorten, args[:3]))
        return InvalidSessionKeyError(
            f"{name}() takes one SessionKey, not three strings: SessionKey({ids})"
        )
    if known[:2] == ["app_name", "user_id"] and args and isinstance(args[0], SessionKey):
        return InvalidSessionKeyError(
            f"{name}() takes an app's and a user's id, not {shorten(args[0])}; give its .app_name "
            "and .user_id"
        )
    public = f"{type(owner).__name__}.{name}"
    unknown = next((given for given in kwargs if given not in known), None)
    if unknown is None:
        return TypeError(str(error).replace(function.__qualname__, public, 1))
    return TypeError(
        f"{public}() got an unexpected keyword argument {unknown!r}"
        + (suggest(unknown, known, tell_owners(unknown)) or f"; it takes {', '.join(known)}")
    )
