"""Deleting a session with everything it has, or what an expired one has left."""

from __future__ import annotations

from collections.abc import Sequence

from langchain_redis_session._codec.session_record import get_created_text, parse_record
from langchain_redis_session._flow.requests import Command, Flow
from langchain_redis_session._flow.scripts import call_batch
from langchain_redis_session._operations.attempts import Attempts
from langchain_redis_session._operations.context import Context
from langchain_redis_session._operations.erasures import mark_erased
from langchain_redis_session.models import SessionKey
from langchain_redis_session.scripts import bindings
from langchain_redis_session.scripts.replies import Status


def delete_session(context: Context, key: SessionKey, *, now_ms: int) -> Flow[bool]:
    """Delete every key and field of a session, and mark that; gives whether there was one."""
    mark = mark_erased(context, *key.scope, now_ms=now_ms)
    return (yield from _delete(context, key, only_expired=False, mark=[mark]))


def purge_expired(context: Context, key: SessionKey) -> Flow[bool]:
    """Delete what is left of an expired session; a living one stays."""
    return (yield from _delete(context, key, only_expired=True))


def _delete(
    context: Context, key: SessionKey, *, only_expired: bool, mark: Sequence[Command] = ()
) -> Flow[bool]:
    keys = context.keyspace.session(key)
    attempts = Attempts(key, "delete")
    while True:
        attempts.begin()
        *_, names, has_events, record = yield from call_batch(
            [
                *mark,
                ("SMEMBERS", keys.track_index),
                ("EXISTS", keys.events),
                ("HGET", keys.sessions, keys.session_field),
            ]
        )
        tracks = set(names)
        if record is not None:  # trpc-agent-go names tracks only in the record
            tracks |= {name.encode() for name in parse_record(record).tracks if name}
        status = yield from bindings.delete_session(
            keys,
            session_ttl_ms=context.options.session_ttl,
            only_expired=only_expired,
            created=get_created_text(record or b""),
            tracks=list(tracks),
        )
        if status is Status.MISSING:
            # A first try, whose reply was lost, did it; or the record had been evicted.
            return record is not None or bool(has_events)
        if status is not Status.TRACKS:  # else a track has come since the names were read
            return status is not Status.ALIVE  # CHANGED: the one that was meant has gone
