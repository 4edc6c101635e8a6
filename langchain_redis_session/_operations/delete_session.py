"""Deleting a session with everything it has, or what an expired one has left."""

from __future__ import annotations

from typing import Any

from langchain_redis_session._codec.session_record import get_created_text, parse_record
from langchain_redis_session._flow.requests import Flow
from langchain_redis_session._flow.scripts import call_script
from langchain_redis_session._operations.context import Context
from langchain_redis_session.errors import BackendUnavailableError, RedisSessionError
from langchain_redis_session.models import SessionKey

_MOST_TRIES = 100


def delete_session(context: Context, key: SessionKey) -> Flow[bool]:
    """Delete every key and field of a session; gives whether there was one."""
    return (yield from _delete(context, key, only_expired=False)) == 1


def purge_expired(context: Context, key: SessionKey) -> Flow[bool]:
    """Delete what is left of an expired session; a living one stays."""
    return (yield from _delete(context, key, only_expired=True)) == 1


def _delete(context: Context, key: SessionKey, *, only_expired: bool) -> Flow[int]:
    keys = context.keyspace.session(key)
    for _ in range(_MOST_TRIES):
        replies: list[Any] = yield [
            ("SMEMBERS", keys.track_index),
            ("HGET", keys.sessions, keys.session_field),
        ]
        for reply in replies:
            if isinstance(reply, RedisSessionError):
                raise reply
        names = set(replies[0])
        if replies[1] is not None:  # trpc-agent-go names tracks only in the record
            names |= {name.encode() for name in parse_record(replies[1]).tracks if name}
        tracks = [keys.track(name.decode("utf-8", "replace")) for name in names]
        done = yield from call_script(
            "delete_session",
            [*keys.common, keys.summary_lease, *tracks],
            [
                keys.session_field,
                keys.summary_field,
                int(only_expired),
                get_created_text(replies[1] or b""),
                *names,
            ],
        )
        if done == -3:  # the one that was meant has gone
            return 1
        if done == 0 and replies[1] is not None:  # a first try, whose reply was lost, did it
            return 1
        if done != -2:  # else a track has come since the names were read
            return int(done)
    raise BackendUnavailableError(f"{key} gets new tracks all the time; try again")
