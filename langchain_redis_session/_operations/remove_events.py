"""Removing events: all of a session's, or some."""

from __future__ import annotations

from collections.abc import Iterable

from langchain_redis_session._flow.requests import Argument, Flow
from langchain_redis_session._flow.scripts import call_script
from langchain_redis_session._operations.append import write_state
from langchain_redis_session._operations.context import Context
from langchain_redis_session._operations.state import NO_CHANGE
from langchain_redis_session.errors import BackendUnavailableError
from langchain_redis_session.models import SessionKey

_MOST_TRIES = 100


def clear_events(context: Context, key: SessionKey) -> Flow[int]:
    """Remove a session's events and summaries; gives how many events there were."""
    keys = context.keyspace.session(key)
    _, _, newest = yield from call_script(
        "read_events", [keys.events], ["newest", "+inf", "-inf", 0, 1]
    )
    return (
        yield from _remove(
            context,
            key,
            "clear_events",
            [*keys.common, keys.summary_lease],
            [
                keys.session_field,
                keys.summary_field,
                context.options.session_ttl,
                context.field_ttl_flag,
                newest[1] if newest else "-inf",
            ],
        )
    )


def remove_events(context: Context, key: SessionKey, entries: Iterable[bytes]) -> Flow[int]:
    """Remove these entries; gives how many were there."""
    keys = context.keyspace.session(key)
    return (
        yield from _remove(
            context,
            key,
            "remove_events",
            [*keys.common, keys.summary_lease],
            [
                keys.session_field,
                context.options.session_ttl,
                context.field_ttl_flag,
                keys.summary_field,
                *entries,
            ],
        )
    )


def _remove(
    context: Context, key: SessionKey, script: str, keys: list[bytes], args: list[Argument]
) -> Flow[int]:
    for _ in range(_MOST_TRIES):
        reply = yield from call_script(script, keys, args)
        if reply[0] != b"FOREIGN":
            removed, field_ttl = reply
            context.note_field_ttl(field_ttl)
            return int(removed)
        # An append of nothing rewrites the record in our order.
        yield from write_state(context, key, NO_CHANGE)
    raise BackendUnavailableError(f"{key} is being rewritten by others all the time; try again")
