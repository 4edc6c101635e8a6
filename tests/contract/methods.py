"""A call of every method that does I/O: of a service, and of a history.

For tests that want them all: `await METHODS["get_session"](Verbs(service, "async"), key)`.
`test_blocking` sees to it that none is missing.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, TypeAlias

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage

from tests.contract.store import make_event, make_events

if TYPE_CHECKING:
    from langchain_redis_session import RedisSessionChatMessageHistory, SessionKey
    from tests.contract.backends import Verbs

Method: TypeAlias = "Callable[[Verbs, SessionKey], Awaitable[Any]]"
HistoryMethod: TypeAlias = "Callable[[RedisSessionChatMessageHistory], Awaitable[Any]]"


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


# In an order in which each finds what it needs; the names are those of sync methods.
METHODS: dict[str, Method] = {
    "ping": lambda v, _: v.ping(),
    "create_session": lambda v, k: v.create_session(k.app_name, k.user_id, k.session_id),
    "append_event": lambda v, k: v.append_event(k, make_event(1)),
    "append_events": lambda v, k: v.append_events(k, make_events(2, 3)),
    "append_messages": lambda v, k: v.append_messages(k, make_turn(), once=True, create=True),
    "get_session": lambda v, k: v.get_session(k),
    "get_events": lambda v, k: v.get_events(k, limit=5),
    "get_messages": lambda v, k: v.get_messages(k),
    "get_event_window": lambda v, k: v.get_event_window(k, make_event(2).id),
    "search_events": lambda v, k: v.search_events(k, "3.5"),
    "list_sessions": lambda v, k: v.list_sessions(k.app_name, k.user_id),
    "list_users": lambda v, k: v.list_users(k.app_name),
    "update_session_state": lambda v, k: v.update_session_state(k, {"a": 1}),
    "update_user_state": lambda v, k: v.update_user_state(k.app_name, k.user_id, {"b": 2}),
    "update_app_state": lambda v, k: v.update_app_state(k.app_name, {"c": 3}),
    "get_user_state": lambda v, k: v.get_user_state(k.app_name, k.user_id),
    "get_app_state": lambda v, k: v.get_app_state(k.app_name),
    "delete_session_state": lambda v, k: v.delete_session_state(k, "a"),
    "delete_user_state": lambda v, k: v.delete_user_state(k.app_name, k.user_id, "b"),
    "delete_app_state": lambda v, k: v.delete_app_state(k.app_name, "c"),
    "append_track_event": lambda v, k: v.append_track_event(k, "t", {"n": 1}),
    "append_track_events": lambda v, k: v.append_track_events(k, "t", [2, 3]),
    "get_track_events": lambda v, k: v.get_track_events(k, "t"),
    "list_tracks": lambda v, k: v.list_tracks(k),
    "enqueue_summary": lambda v, k: v.enqueue_summary(k),
    "create_summary": lambda v, k: v.create_summary(k, force=True),
    "get_summary": lambda v, k: v.get_summary(k),
    "list_summaries": lambda v, k: v.list_summaries(k),
    "get_summarized_messages": lambda v, k: v.get_summarized_messages(k),
    "trim_conversations": lambda v, k: v.trim_conversations(k),
    "clear_events": lambda v, k: v.clear_events(k),
    "flush": lambda v, _: v.flush(30),
    "delete_session": lambda v, k: v.delete_session(k),
    "delete_user": lambda v, k: v.delete_user(k.app_name, k.user_id),
    "close": lambda v, _: v.close(),
}

HISTORY_METHODS: dict[str, HistoryMethod] = {
    "aadd_messages": lambda h: h.aadd_messages(make_turn()),
    "aget_messages": lambda h: h.aget_messages(),
    "asearch_messages": lambda h: h.asearch_messages("hi"),
    "aclear": lambda h: h.aclear(),
}
