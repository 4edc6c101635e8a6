"""Handlers for tests of hooks, made of plain functions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import pytest
from langchain_core.callbacks import BaseCallbackHandler

from langchain_redis_session import AsyncSessionCallbackHandler, SessionCallbackHandler

Kind = Literal["plain", "inline", "async"]

every_kind = pytest.mark.parametrize(
    ("mode", "kind"),
    [("sync", "plain"), ("async", "plain"), ("async", "inline"), ("async", "async")],
    indirect=["mode"],
)
"""Every kind of handler, in the verbs that may have it."""

plain_kinds = pytest.mark.parametrize(
    ("mode", "kind"), [("sync", "plain"), ("async", "plain")], indirect=["mode"]
)

Function = Callable[..., Any]


def make_handler(kind: Kind, name: str = "Handler", **functions: Function) -> BaseCallbackHandler:
    """Make a handler: `make_handler(kind, append_event_start=lambda context: …)`."""
    is_async = kind == "async"
    methods = {
        f"on_{hook}": _make_method(function, is_async) for hook, function in functions.items()
    }
    base = AsyncSessionCallbackHandler if is_async else SessionCallbackHandler
    made = type(name, (base,), {"run_inline": kind == "inline", **methods})()
    assert isinstance(made, BaseCallbackHandler)
    return made


def _make_method(function: Function, is_async: bool) -> Function:
    def method(_self: Any, *args: Any) -> Any:
        return function(*args)

    async def async_method(_self: Any, *args: Any) -> Any:
        return function(*args)

    return async_method if is_async else method


def make_recorder(
    kind: Kind, name: str, seen: list[str], *, raises_in: str = ""
) -> BaseCallbackHandler:
    """Make a handler that writes down its calls, and perhaps raises in one."""

    def note(hook: str) -> Function:
        def function(context: Any, error: Exception | None = None) -> None:
            event = getattr(context, "event", None)
            what = f" {event.message.text}" if event is not None and event.message else ""
            why = f" {type(error).__name__}" if error is not None else ""
            seen.append(f"{name} {hook}{what}{why}")
            if hook == raises_in:
                raise KeyError("my secret")

        return function

    operations = ("append_event", "get_session")
    hooks = [f"{operation}_{stage}" for operation in operations for stage in _STAGES]
    return make_handler(kind, name, **{hook: note(hook) for hook in hooks})


_STAGES = ("start", "end", "error")


def raise_(error: BaseException) -> Any:
    """Raise, where only an expression can stand."""
    raise error
