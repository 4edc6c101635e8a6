"""Removing events: all of a session's, or some."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator

from langchain_redis_session._flow.requests import Flow
from langchain_redis_session._flow.scripts import ScriptCall
from langchain_redis_session._operations.append import write_state
from langchain_redis_session._operations.attempts import Attempts
from langchain_redis_session._operations.context import Context
from langchain_redis_session._operations.pages import PAGE_BYTES, StoredEvent
from langchain_redis_session._operations.search import find_events
from langchain_redis_session._operations.state import NO_CHANGE
from langchain_redis_session.models import SessionKey
from langchain_redis_session.scripts import bindings
from langchain_redis_session.scripts.bindings import RemovedEntry
from langchain_redis_session.scripts.replies import Removed, Status

_MOST_AT_ONCE = 500


def clear_events(context: Context, key: SessionKey) -> Flow[int]:
    """Remove a session's events and summaries; gives how many events there were."""
    keys = context.keyspace.session(key)
    newest = yield from bindings.read_events(keys.events, count=1)
    call = bindings.clear_events(
        keys,
        session_ttl_ms=context.options.session_ttl,
        try_field_ttl=context.try_field_ttl,
        highest=newest.scores[0] if newest.scores else "-inf",
    )
    return (yield from _remove(context, key, call)).removed


def remove_events(
    context: Context, key: SessionKey, event_ids: Collection[str], *, token: str
) -> Flow[int]:
    """Remove the events that have these ids; gives how many there were.

    Args:
        context: Options and key names.
        key: The session.
        event_ids: The ids.
        token: The call's, by which a script that is sent again is known.
    """
    events_key = context.keyspace.session(key).events
    found = yield from find_events(context, events_key, event_ids)
    removed = 0
    for number, part in enumerate(_split(found)):
        reply = yield from remove_stored(context, key, part, token=f"{token}{number:04x}")
        removed += reply.removed
    return removed


def _split(stored: Iterable[StoredEvent]) -> Iterator[list[StoredEvent]]:
    """What is removed in one go: nobody is held up for long."""
    part: list[StoredEvent] = []
    size = 0
    for one in stored:
        size += len(one.entry)
        if part and (len(part) == _MOST_AT_ONCE or size > PAGE_BYTES):
            yield part
            part, size = [], len(one.entry)
        part.append(one)
    if part:
        yield part


def remove_stored(
    context: Context,
    key: SessionKey,
    stored: Iterable[StoredEvent],
    *,
    token: str,
    newest: str = "",
) -> Flow[Removed]:
    """Remove events that were read.

    Args:
        context: Options and key names.
        key: The session.
        stored: The events.
        token: The call's.
        newest: Remove all of them, if this is still the highest score; else, and where one of
            them has gone, the reply is CHANGED. "" = those that are there.
    """
    call = bindings.remove_events(
        context.keyspace.session(key),
        session_ttl_ms=context.options.session_ttl,
        try_field_ttl=context.try_field_ttl,
        token=token,
        newest=newest,
        entries=[RemovedEntry(one.entry, _message_id(one)) for one in stored],
    )
    return (yield from _remove(context, key, call))


def _message_id(stored: StoredEvent) -> bytes:
    message = stored.event.message
    return ((message and message.id) or "").encode("utf-8", "surrogatepass")


def _remove(context: Context, key: SessionKey, call: ScriptCall[Removed]) -> Flow[Removed]:
    attempts = Attempts(key, "remove events from")
    while True:
        attempts.begin()
        reply = yield from call
        if reply.status is not Status.FOREIGN:
            context.note_field_ttl(reply.field_ttl)
            return reply
        # An append of nothing rewrites the record in our order.
        yield from write_state(context, key, NO_CHANGE)
