"""Every read method of a service, a history and a memory store, and what shows what was read."""

from __future__ import annotations

import html
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from langchain_core.messages import HumanMessage
from langgraph.store.base import GetOp, SearchOp

from langchain_redis_session import (
    CorruptEventError,
    RedisSessionChatMessageHistory,
    RedisSessionMemoryStore,
    RedisSessionService,
    SessionKey,
    SessionNotFoundError,
    SummaryError,
    read_runs,
)
from tests.fuzz.entries import NOON

GOOD = [f"good {number}" for number in range(4)]
"""The texts of the neighbours, in order."""

Read = Callable[[RedisSessionService, SessionKey], Any]


def _texts_of(messages: Sequence[Any]) -> list[str]:
    contents = [getattr(message, "content", None) for message in messages]
    return [content for content in contents if isinstance(content, str)]


def _expect_good(messages: Sequence[Any]) -> None:
    """See to it that no neighbour is lost."""
    texts = iter(_texts_of(messages))
    if not all(good in texts for good in GOOD):  # each is looked for behind the one before
        raise AssertionError("a neighbour is lost")


def _expect_good_events(events: Sequence[Any]) -> None:
    _expect_good([event.message for event in events])


def _read_history(service: RedisSessionService, key: SessionKey, **options: Any) -> Any:
    history = RedisSessionChatMessageHistory(
        key.session_id, user_id=key.user_id, app_name=key.app_name, service=service, **options
    )
    return history.messages


def _show_session(service: RedisSessionService, key: SessionKey) -> None:
    session = service.get_session(key)
    assert session is not None
    _expect_good(session.messages)
    _expect_shown(session, *session.events, *(found for found in [session.summary] if found))
    for event in session.events:
        event.timestamp  # noqa: B018


def _show_runs(service: RedisSessionService, key: SessionKey) -> None:
    events = service.get_track_events(key, "t")
    assert any(event.payload == "good" for event in events)
    _expect_shown(events, read_runs(events))


def _expect_shown(*values: Any) -> None:
    """Showing never raises; see to it that what it shows is the value."""
    for value in values:
        for text in (repr(value), value._repr_html_()):
            if "can't be shown: " in html.unescape(text):
                raise AssertionError(text)


def _read_memory(service: RedisSessionService, key: SessionKey) -> None:
    store = RedisSessionMemoryStore(service, app_name=key.app_name, user=key.user_id)
    assert any(item.key == "good" for item in store.search(("fuzz",), limit=1000))
    store.search((), filter={"likes": {"$ne": "tea"}}, limit=1000)
    operations = [GetOp(("fuzz",), f"k{number}") for number in range(20)]
    store.batch([*operations, SearchOp(("fuzz",), query="tea")])
    store.list_namespaces()


def _strictly(read: Read) -> Read:
    def call(service: RedisSessionService, key: SessionKey) -> None:
        with suppress(CorruptEventError):
            read(service, key)

    return call


def _append(service: RedisSessionService, key: SessionKey) -> None:
    service.append_messages(key, [HumanMessage("later")])
    service.append_track_event(key, "t", 1)
    if service.get_messages(key, limit=1)[-1].content != "later":
        raise AssertionError("what was appended is not the newest")


def _summarize(service: RedisSessionService, key: SessionKey) -> None:
    # It is told of what stands in its place, or of a record that is gone.
    with suppress(SummaryError, SessionNotFoundError):
        service.create_summary(key, force=True)


WHOLE: dict[str, Read] = {
    "HTML": _show_session,
    "get_events": lambda s, k: _expect_good_events(s.get_events(k)),
    "get_events, between": lambda s, k: s.get_events(k, after=NOON, before=NOON + 10**8),
    "get_messages": lambda s, k: _expect_good(s.get_messages(k)),
    "get_messages, answered": lambda s, k: _expect_good(
        s.get_messages(k, open_tool_calls="answer")
    ),
    "get_messages, strict": _strictly(lambda s, k: s.get_messages(k, strict=True)),
    "get_session, strict": _strictly(lambda s, k: s.get_session(k, strict=True)),
    "get_messages, dropped": lambda s, k: s.get_messages(
        k, open_tool_calls="drop", start_on="human"
    ),
    "get_summarized_messages": lambda s, k: s.get_summarized_messages(k),
    "get_event_window": lambda s, k: s.get_event_window(k, f"{1:032x}", before=9, roles=["user"]),
    "search_events": lambda s, k: _expect_good_events(s.search_events(k, "good", limit=None)),
    "search_events, roles": lambda s, k: s.search_events(k, '"not there"', roles=["tool"]),
    "list_sessions": lambda s, k: s.list_sessions(k.app_name, k.user_id, include_events=True),
    "history": lambda s, k: _expect_good(_read_history(s, k)),
    "history, summary": lambda s, k: _read_history(s, k, include_summary=True),
    "history, tokens": lambda s, k: _read_history(s, k, max_tokens=10**6, stable_window=True),
    "history, all": lambda s, k: _read_history(
        s, k, max_messages=10**6, include_interrupted=True, open_tool_calls="answer"
    ),
    "append, once": lambda s, k: s.append_messages(k, [HumanMessage("x", id="x")], once=True),
}
"""Those that read all events."""

LAST: dict[str, Read] = {
    "get_session, last": lambda s, k: s.get_session(k, limit=3, start_on="human"),
    "get_events, last": lambda s, k: s.get_events(k, limit=2, offset=1),
    "get_messages, last": lambda s, k: s.get_messages(k, limit=2),
    "list_sessions, last": lambda s, k: s.list_sessions(
        k.app_name, k.user_id, include_events=True, events_limit=2, events_start_on="human"
    ),
    "history, window": lambda s, k: _read_history(s, k, max_messages=3),
    "history, window with summary": lambda s, k: _read_history(
        s, k, max_messages=3, include_summary=True, start_on=None
    ),
    "count_events": lambda s, k: s.count_events(k),
}
"""Those that read the newest events."""

SESSION: dict[str, Read] = {
    "HTML": _show_session,
    "history, summary": WHOLE["history, summary"],
    "history, window with summary": LAST["history, window with summary"],
    "get_summarized_messages": WHOLE["get_summarized_messages"],
    "get_summary": lambda s, k: s.get_summary(k, "app/tools"),
    "list_summaries": lambda s, k: s.list_summaries(k),
    "list_tracks": lambda s, k: s.list_tracks(k),
}
"""Those that read what there is once in a session."""

TRACK: dict[str, Read] = {
    "HTML of runs": _show_runs,
    "get_track_events, strict": _strictly(lambda s, k: s.get_track_events(k, "t", strict=True)),
    "get_track_events, last": lambda s, k: s.get_track_events(k, "t", limit=3, offset=1),
}
USER: dict[str, Read] = {
    "list_sessions": lambda s, k: s.list_sessions(k.app_name, k.user_id),
    "list_sessions, last": lambda s, k: s.list_sessions(k.app_name, k.user_id, limit=2, offset=1),
    "list_users": lambda s, k: s.list_users(k.app_name),
    "list_apps": lambda s, k: s.list_apps(),
    "get_user_state": lambda s, k: s.get_user_state(k.app_name, k.user_id),
    "get_app_state": lambda s, k: s.get_app_state(k.app_name),
    "get_usage": lambda s, k: s.get_usage(k.app_name, k.user_id),
    "get_session_usage": lambda s, k: s.get_session_usage(k),
    "memory": _read_memory,
}
"""Those that read what a user or an app has."""

WRITES: dict[str, Read] = {
    "create_session": lambda s, k: s.create_session(k.app_name, k.user_id, k.session_id),
    "append": _append,
    "create_summary": _summarize,
    "remove_events": lambda s, k: s.remove_events(k, ["seed1", f"{3:032x}"]),
    "trim_conversations": lambda s, k: s.trim_conversations(k, count=2),
    "update_session_state": lambda s, k: s.update_session_state(k, {"k": 1}),
    "delete_session": lambda s, k: s.delete_session(k),
}
"""Those that read on their way to a change; in an order in which each finds something."""

READS = {**WHOLE, **LAST, **SESSION, **TRACK, **USER}
