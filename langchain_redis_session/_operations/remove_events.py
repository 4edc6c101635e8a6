"""Removing events: all of a session's, or some."""

from __future__ import annotations

from collections.abc import Iterable

from langchain_redis_session._flow.requests import Flow
from langchain_redis_session._flow.scripts import ScriptCall
from langchain_redis_session._operations.append import write_state
from langchain_redis_session._operations.attempts import Attempts
from langchain_redis_session._operations.context import Context
from langchain_redis_session._operations.state import NO_CHANGE
from langchain_redis_session.models import SessionKey
from langchain_redis_session.scripts import bindings
from langchain_redis_session.scripts.replies import Removed, Status


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
    return (yield from _remove(context, key, call))


def remove_events(context: Context, key: SessionKey, entries: Iterable[bytes]) -> Flow[int]:
    """Remove these entries; gives how many were there."""
    call = bindings.remove_events(
        context.keyspace.session(key),
        session_ttl_ms=context.options.session_ttl,
        try_field_ttl=context.try_field_ttl,
        entries=entries,
    )
    return (yield from _remove(context, key, call))


def _remove(context: Context, key: SessionKey, call: ScriptCall[Removed]) -> Flow[int]:
    attempts = Attempts(key, "remove events from")
    while True:
        attempts.begin()
        reply = yield from call
        if reply.status is Status.OK:
            context.note_field_ttl(reply.field_ttl)
            return reply.removed
        # FOREIGN. An append of nothing rewrites the record in our order.
        yield from write_state(context, key, NO_CHANGE)
