"""The public methods of a service, and an argument that works for each of their parameters.

One list for all tests that say something of every method: a new method is in it by itself,
and a new parameter's name has to be added.
"""

from __future__ import annotations

import inspect
from typing import Any

from langchain_core.messages import HumanMessage

from langchain_redis_session import RedisSessionService, SessionKey
from tests.contract.store import make_event

ARGUMENTS: dict[str, Any] = {
    "app_name": "shop",
    "user_id": "ann",
    "key": SessionKey("shop", "ann", "s1"),
    "event": make_event(1),
    "events": [make_event(1)],
    "messages": [HumanMessage("x")],
    "values": {"k": 1},
    "names": "k",
    "event_id": "e",
    "query": "x",
    "track": "t",
    "payload": 1,
    "payloads": [1],
}
"""What a method can be called with, by the name of the parameter; those without a default."""


def public_names() -> list[str]:
    """Give every public function of a service, sync and async."""
    members = inspect.getmembers(RedisSessionService, inspect.isfunction)
    return sorted(name for name, _ in members if not name.startswith("_"))


def method_names() -> list[str]:
    """Give every method of an open service: what is there as `x` and as `ax`."""
    names = set(public_names())
    return sorted(name for name in names if f"a{name}" in names and name != "close")


def parameters_of(name: str) -> list[inspect.Parameter]:
    """Give the parameters of a method, without `self`."""
    function = getattr(RedisSessionService, name)
    return list(inspect.signature(function).parameters.values())[1:]


def arguments_of(name: str) -> list[Any]:
    """Give what a method must be called with."""
    return [
        ARGUMENTS[parameter.name]
        for parameter in parameters_of(name)
        if parameter.default is parameter.empty and parameter.kind is not parameter.KEYWORD_ONLY
    ]
