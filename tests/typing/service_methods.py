"""What type checkers make of every method: mypy and pyright read this, nobody runs it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from datetime import date
from typing import Any

from langchain_core.messages import BaseMessage, HumanMessage
from typing_extensions import assert_type

from langchain_redis_session import (
    AppendResult,
    DeadLetter,
    DeletedUser,
    Event,
    RedisSessionService,
    ServiceStats,
    Session,
    SessionKey,
    SummarizedMessages,
    Summary,
    TrackEvent,
    Usage,
)


def sync_methods(service: RedisSessionService, key: SessionKey, event: Event) -> None:
    message = HumanMessage("hi")
    with service as entered:
        assert_type(entered, RedisSessionService)
    assert_type(service.is_closed, bool)
    assert_type(service.ping(), bool)
    assert_type(service.stats(), ServiceStats)
    assert_type(service.flush(timeout=1), bool)
    assert_type(service.dead_letters(), list[DeadLetter])
    assert_type(service.retry_dead_letters(), int)
    assert_type(service.close(), None)

    assert_type(service.create_session("a", "u", "s", {"k": 1}), Session)
    assert_type(service.list_sessions("a", "u", limit=1, include_events=True), list[Session])
    assert_type(service.delete_session(key), bool)
    assert_type(service.get_usage("a", "u", since=date(2026, 1, 1)), Usage)
    assert_type(service.get_session_usage(key), Usage)
    assert_type(service.list_apps(), list[str])
    assert_type(service.list_users("a"), list[str])
    assert_type(service.delete_user("a", "u"), DeletedUser)

    assert_type(service.append_event(key, event, callbacks=[]), AppendResult)
    assert_type(service.append_events(key, events=[event]), AppendResult)
    assert_type(service.append_messages(key, [message], create=True, author=None), AppendResult)

    assert_type(service.get_session(key, limit=5, start_on="human"), Session | None)
    assert_type(service.get_events(key, after=5, before=1.5), list[Event])
    assert_type(service.get_messages(key, strict=True), list[BaseMessage])
    assert_type(service.get_summarized_messages(key, open_tool_calls="drop"), SummarizedMessages)
    assert_type(service.get_event_window(key, "e", before=1, roles=["user"]), list[Event])
    assert_type(service.search_events(key, "q", limit=None), list[Event])
    assert_type(service.count_events(key), int)
    assert_type(service.follow(key, 1.5, poll_s=1), Iterator[Event])
    assert_type(service.clear_events(key), int)
    assert_type(service.remove_events(key, ["e"]), int)
    assert_type(service.trim_conversations(key, count=2), list[Event])

    assert_type(service.update_session_state(key, {"k": 1}), None)
    assert_type(service.delete_session_state(key, "k", "l"), None)
    assert_type(service.update_user_state("a", "u", {"k": 1}), None)
    assert_type(service.get_user_state("a", "u"), dict[str, Any])
    assert_type(service.delete_user_state("a", "u", "k", "l"), int)
    assert_type(service.update_app_state("a", {"k": 1}), None)
    assert_type(service.get_app_state("a"), dict[str, Any])
    assert_type(service.delete_app_state("a", "k", "l"), int)

    assert_type(service.create_summary(key, "app/tools", force=True), Summary | None)
    assert_type(service.enqueue_summary(key), None)
    assert_type(service.get_summary(key, filter_key=""), Summary | None)
    assert_type(service.list_summaries(key), list[Summary])

    assert_type(service.append_track_event(key, "t", {"any": 1}, timestamp=5), TrackEvent)
    assert_type(service.append_track_events(key, "t", [1, "two"]), list[TrackEvent])
    assert_type(service.get_track_events(key, "t", offset=1), list[TrackEvent])
    assert_type(service.list_tracks(key), list[str])


async def async_methods(service: RedisSessionService, key: SessionKey, event: Event) -> None:
    message = HumanMessage("hi")
    async with service as entered:
        assert_type(entered, RedisSessionService)
    assert_type(await service.aping(), bool)
    assert_type(await service.aflush(timeout=1), bool)
    assert_type(await service.aretry_dead_letters(), int)
    assert_type(await service.aclose(), None)

    assert_type(await service.acreate_session("a", "u", "s", {"k": 1}), Session)
    assert_type(await service.alist_sessions("a", "u", limit=1, include_events=True), list[Session])
    assert_type(
        await service.alist_sessions("a", "u", include_events=True, events_limit=1), list[Session]
    )
    assert_type(await service.adelete_session(key), bool)
    assert_type(await service.aget_usage("a", "u", until=None), Usage)
    assert_type(await service.aget_session_usage(key), Usage)
    assert_type(await service.alist_apps(), list[str])
    assert_type(await service.alist_users("a"), list[str])
    assert_type(await service.adelete_user("a", "u"), DeletedUser)

    assert_type(await service.aappend_event(key, event, callbacks=[]), AppendResult)
    assert_type(await service.aappend_events(key, events=[event]), AppendResult)
    assert_type(
        await service.aappend_messages(key, [message], create=True, author=None), AppendResult
    )

    assert_type(await service.aget_session(key, limit=5, start_on="human"), Session | None)
    assert_type(await service.aget_events(key, after=5, before=1.5), list[Event])
    assert_type(await service.aget_messages(key, strict=True), list[BaseMessage])
    assert_type(
        await service.aget_summarized_messages(key, open_tool_calls="drop"), SummarizedMessages
    )
    assert_type(await service.aget_event_window(key, "e", before=1, roles=["user"]), list[Event])
    assert_type(await service.asearch_events(key, "q", limit=None), list[Event])
    assert_type(await service.acount_events(key), int)
    assert_type(service.afollow(key, 1.5, poll_s=1), AsyncIterator[Event])
    assert_type(await service.aclear_events(key), int)
    assert_type(await service.aremove_events(key, ["e"]), int)
    assert_type(await service.atrim_conversations(key, count=2), list[Event])

    assert_type(await service.aupdate_session_state(key, {"k": 1}), None)
    assert_type(await service.adelete_session_state(key, "k", "l"), None)
    assert_type(await service.aupdate_user_state("a", "u", {"k": 1}), None)
    assert_type(await service.aget_user_state("a", "u"), dict[str, Any])
    assert_type(await service.adelete_user_state("a", "u", "k", "l"), int)
    assert_type(await service.aupdate_app_state("a", {"k": 1}), None)
    assert_type(await service.aget_app_state("a"), dict[str, Any])
    assert_type(await service.adelete_app_state("a", "k", "l"), int)

    assert_type(await service.acreate_summary(key, "app/tools", force=True), Summary | None)
    assert_type(await service.aenqueue_summary(key), None)
    assert_type(await service.aget_summary(key, filter_key=""), Summary | None)
    assert_type(await service.alist_summaries(key), list[Summary])

    assert_type(await service.aappend_track_event(key, "t", {"any": 1}, timestamp=5), TrackEvent)
    assert_type(await service.aappend_track_events(key, "t", [1, "two"]), list[TrackEvent])
    assert_type(await service.aget_track_events(key, "t", offset=1), list[TrackEvent])
    assert_type(await service.alist_tracks(key), list[str])
