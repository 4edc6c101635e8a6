"""The methods of a service, each with a call of it that works: one list for all tests.

    await call_method(verbs, "get_session", key)

What a method must be given comes from `make_values`, by the name of the parameter; `METHODS`
says what else it is given. `test_blocking` sees to it that no method is missing.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, TypeAlias

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage

from langchain_redis_session import RedisSessionService, SessionKey
from tests.contract.store import make_event, make_events

if TYPE_CHECKING:
    from langchain_redis_session import RedisSessionChatMessageHistory
    from tests.contract.backends import Verbs

HistoryMethod: TypeAlias = "Callable[[RedisSessionChatMessageHistory], Awaitable[Any]]"

KEY = SessionKey("shop", "ann", "s1")

METHODS: dict[str, dict[str, Any]] = {
    "ping": {},
    "create_session": {},
    "append_event": {},
    "append_events": {},
    "append_messages": {"once": True, "create": True},
    "get_session": {},
    "get_events": {"limit": 5},
    "get_messages": {"limit": 1},
    "count_events": {},
    "get_event_window": {},
    "search_events": {},
    "list_sessions": {"include_events": True},
    "list_apps": {},
    "list_users": {},
    "update_session_state": {},
    "update_user_state": {},
    "update_app_state": {},
    "get_user_state": {},
    "get_app_state": {},
    "delete_session_state": {},
    "delete_user_state": {},
    "delete_app_state": {},
    "append_track_event": {},
    "append_track_events": {},
    "get_track_events": {},
    "list_tracks": {},
    "enqueue_summary": {},
    "create_summary": {"force": True},
    "get_summary": {},
    "list_summaries": {},
    "get_summarized_messages": {},
    "remove_events": {},
    "trim_conversations": {},
    "clear_events": {},
    "get_usage": {},
    "get_session_usage": {},
    "flush": {"timeout": 30},
    "retry_dead_letters": {},
    "delete_session": {},
    "delete_user": {},
    "close": {},
}
"""What the call of each has beyond what it must have; in an order in which each finds its data."""

READS = ("get_session", "get_messages", "get_events")
"""Those that read the events of a session, and take the same options."""

HISTORY_METHODS: dict[str, HistoryMethod] = {
    "aadd_messages": lambda h: h.aadd_messages(make_turn()),
    "aget_messages": lambda h: h.aget_messages(),
    "asearch_messages": lambda h: h.asearch_messages("3.5"),
    "aclear": lambda h: h.aclear(),
}


def make_turn() -> list[BaseMessage]:
    """Give a user turn with a tool call, its result and what models add."""
    usage = {"input_tokens": 5, "output_tokens": 7, "total_tokens": 12}
    call = {"name": "add", "args": {"a": 1, "b": 2.5}, "id": "c1"}
    return [
        HumanMessage("What is 1 + 2.5?", id="h1"),
        AIMessage("", id="a1", tool_calls=[call], usage_metadata=usage),
        ToolMessage("3.5", tool_call_id="c1", artifact={"steps": [1, 2.5]}, id="t1"),
        AIMessage("It is 3.5.", id="a2", response_metadata={"model_name": "m"}),
    ]


def make_values(key: SessionKey = KEY) -> dict[str, Any]:
    """Give what works for each parameter that methods must be given, by its name."""
    return {
        "app_name": key.app_name,
        "user_id": key.user_id,
        "session_id": key.session_id,
        "key": key,
        "event": make_event(1),
        "events": make_events(2, 3),
        "messages": make_turn(),
        "values": {"k": 2},
        "names": "k",
        "event_id": make_event(1).id,
        "event_ids": [make_event(1).id],
        "query": "m1",
        "track": "t",
        "payload": {"n": 1},
        "payloads": [2, 3],
    }


def public_names() -> list[str]:
    """Give every public function of a service, sync and async."""
    members = inspect.getmembers(RedisSessionService, inspect.isfunction)
    return sorted(name for name, _ in members if not name.startswith("_"))


def method_names() -> list[str]:
    """Give every method of an open service."""
    return [name for name in METHODS if name != "close"]


def keyed_names() -> list[str]:
    """Give every method that is about one session."""
    return [n for n in method_names() if any(p.name == "key" for p in parameters_of(n))]


def parameters_of(name: str) -> list[inspect.Parameter]:
    """Give the parameters of a method, without `self`."""
    function = getattr(RedisSessionService, name)
    return list(inspect.signature(function).parameters.values())[1:]


def arguments_of(name: str, key: SessionKey = KEY, **given: Any) -> list[Any]:
    """Give what a method must be called with, and a new session's ID."""
    values = make_values(key) | given
    return [
        values[parameter.name]
        for parameter in parameters_of(name)
        if (parameter.default is parameter.empty and parameter.kind is not parameter.KEYWORD_ONLY)
        or parameter.name == "session_id"
    ]


async def call_method(verbs: Verbs, name: str, key: SessionKey = KEY, **given: Any) -> Any:
    """Call a method, with other arguments where they are given."""
    options = {name: value for name, value in given.items() if name not in make_values()}
    return await getattr(verbs, name)(*arguments_of(name, key, **given), **METHODS[name] | options)


async def call_all_methods(verbs: Verbs, key: SessionKey = KEY) -> dict[str, Any]:
    """Call every method, and close; gives what each gave, by its name."""
    return {name: await call_method(verbs, name, key) for name in METHODS}
