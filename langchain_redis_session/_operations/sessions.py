"""Sessions: create, get, list, and everything of a user."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import count
from typing import Any

from langchain_redis_session._flow.gather import gather_all
from langchain_redis_session._flow.requests import Command, Flow
from langchain_redis_session._flow.scripts import ScriptCall, call_batch
from langchain_redis_session._operations.append import write_state
from langchain_redis_session._operations.attempts import Attempts
from langchain_redis_session._operations.bounds import Bounds
from langchain_redis_session._operations.context import Context
from langchain_redis_session._operations.decoding import parse_sound_record
from langchain_redis_session._operations.matching import find_newest_message, has_message
from langchain_redis_session._operations.reading import (
    Reading,
    get_session,
    make_session,
    take_times_of_events,
)
from langchain_redis_session._operations.state import (
    StateChange,
    decode_shared_state,
    update_app_state,
)
from langchain_redis_session._operations.stretch import make_event_stretch
from langchain_redis_session._operations.user_sessions import choose_newest, find_sessions
from langchain_redis_session.models import Session, SessionKey
from langchain_redis_session.scripts.bindings import Create

_MOST_AT_ONCE = 100


def create_session(context: Context, key: SessionKey, change: StateChange) -> Flow[Session]:
    """Create a session, with its first state; one that lives stays as it is."""
    is_missing = False
    if change.app and context.options.hash_tag == "user":
        keys = context.keyspace.session(key)
        is_missing = not (yield ("HEXISTS", keys.sessions, keys.session_field))
    attempts = Attempts(key, "create")
    while True:
        attempts.begin()
        is_written = yield from write_state(context, key, change, create=Create.ONLY)
        if is_missing and not is_written:  # by a first try, whose reply was lost
            yield from update_app_state(context, key.app_name, change.app)
        session = yield from get_session(context, key, Bounds())
        if session is not None:  # else it expired or was deleted in between
            return session


def list_sessions(
    context: Context,
    app_name: str,
    user_id: str,
    *,
    limit: int | None,
    offset: int,
    events: Bounds | None,
) -> Flow[list[Session]]:
    """Read a user's sessions, the last updated first; remove some that have expired.

    `events` says which of their events to read; None = none.
    """
    ages = yield from find_sessions(context, app_name, user_id)
    ages = yield from choose_newest(ages, None if limit is None else offset + limit)
    page = [SessionKey(app_name, user_id, field.decode()) for _, field in ages[offset:]]
    if events is not None:
        return (yield from _read_sessions(context, page, events))
    return (yield from _read_records(context, app_name, user_id, page))


def _split(page: list[SessionKey]) -> Iterator[list[SessionKey]]:
    """What is read in one go: nobody is held up for long."""
    return (page[start : start + _MOST_AT_ONCE] for start in range(0, len(page), _MOST_AT_ONCE))


def _read_sessions(context: Context, page: list[SessionKey], events: Bounds) -> Flow[list[Session]]:
    sessions = []
    for part in _split(page):
        readings = [Reading(context, key, events) for key in part]
        calls: list[list[ScriptCall[Any] | Command]] = [
            [reading.call(), *reading.far_calls()] for reading in readings
        ]
        replies = iter((yield from call_batch([call for some in calls for call in some])))
        for reading, some in zip(readings, calls, strict=True):
            stored, *far = (next(replies) for _ in some)
            session = yield from reading.complete(stored, *far)
            if session is not None:
                newest = find_newest_message(reversed(session.events))
                sessions.append(
                    replace(session, event_count=stored.page.size, last_message=newest),
                )
    return sessions


def _read_records(
    context: Context, app_name: str, user_id: str, page: list[SessionKey]
) -> Flow[list[Session]]:
    sessions = []
    shared: dict[str, Any] | None = None
    sessions_key = context.keyspace.sessions(app_name, user_id)
    for part in _split(page):
        # All at the same time: it takes no more round trips than the records alone.
        flows: list[Flow[Any]] = [
            _read_all([("HGET", sessions_key, key.session_id.encode()) for key in part]),
            *(_read_newest(context, key) for key in part),
        ]
        if shared is None:
            flows.append(_read_shared(context, app_name, user_id))
        records, *newest = yield from gather_all(flows)
        if shared is None:
            shared = newest.pop()
        for key, record, (size, message) in zip(part, records, newest, strict=True):
            if record is not None:
                parsed = yield from parse_sound_record(context, sessions_key, record)
                if not parsed.is_readable:
                    events_key = context.keyspace.session(key).events
                    parsed = yield from take_times_of_events(events_key, parsed)
                session = make_session(key, parsed, shared, None)
                sessions.append(replace(session, event_count=size, last_message=message))
    return sessions


def _read_all(commands: list[ScriptCall[Any] | Command]) -> Flow[list[Any]]:
    return (yield from call_batch(commands))


def _read_shared(context: Context, app_name: str, user_id: str) -> Flow[dict[str, Any]]:
    """Read the state that a user's sessions share."""
    keyspace = context.keyspace
    app_fields, user_fields = yield from call_batch(
        [
            ("HGETALL", keyspace.app_state(app_name)),
            ("HGETALL", keyspace.user_state(app_name, user_id)),
        ]
    )
    return (yield from decode_shared_state(app_fields, user_fields))


def _read_newest(context: Context, key: SessionKey) -> Flow[Any]:
    """Count a session's events and read its newest message.

    That is one entry; where it holds no message, the page before it is looked through, once.
    """
    stretch = make_event_stretch(
        context, context.keyspace.session(key), Bounds(limit=1), has_message
    )
    read = stretch.first_read()
    assert isinstance(read, ScriptCall), "only a read of everything needs none"
    page = yield from read
    yield from stretch.take_first(page)
    looks = count()
    yield from stretch.read_until(lambda: bool(stretch.items) or next(looks) > 0)
    return page.size, find_newest_message(stretch.items)
