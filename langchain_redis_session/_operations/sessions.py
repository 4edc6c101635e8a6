"""Sessions: create, get, list, and everything of a user."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from langchain_redis_session._flow import (
    Command,
    Flow,
    Request,
    ScanPage,
    ScriptCall,
    call_batch,
    call_script,
)
from langchain_redis_session._operations.context import Context
from langchain_redis_session._operations.events import write_state
from langchain_redis_session._operations.purge import purge_expired
from langchain_redis_session._operations.state import (
    APP_PREFIX,
    USER_PREFIX,
    decode_fields,
    route_state,
    update_app_state,
)
from langchain_redis_session._operations.windows import (
    Bounds,
    Window,
    make_event_window,
    refresh_call,
)
from langchain_redis_session._record import Record, parse_record
from langchain_redis_session.errors import (
    InvalidSessionKeyError,
)
from langchain_redis_session.models import DeletedUser, Event, Session, SessionKey, to_datetime

_MOST_KEYS = 500


def create_session(
    context: Context, key: SessionKey, state: Mapping[str, Any] | None
) -> Flow[Session]:
    """Create a session; one that lives stays as it is."""
    change = route_state(state, "state")
    is_missing = False
    if change.app and context.options.hash_tag == "user":
        keys = context.keyspace.session(key)
        is_missing = not (yield ("HEXISTS", keys.sessions, keys.session_field))
    while True:
        is_written = yield from write_state(context, key, change, create="new")
        if is_missing and not is_written:  # by a first try, whose reply was lost
            yield from update_app_state(context, key.app_name, change.app)
        session = yield from get_session(context, key, Bounds())
        if session is not None:  # else it expired or was deleted in between
            return session


def get_session(
    context: Context,
    key: SessionKey,
    bounds: Bounds,
    wants: Callable[[Event], bool] | None = None,
) -> Flow[Session | None]:
    """Read a session, its state and the events it `wants`; None if there is none."""
    reading = _Reading(context, key, bounds, wants)
    calls = reading.calls()
    if context.options.refresh_ttl_on_read:
        *replies, field_ttl = yield from call_batch([*calls, refresh_call(context, key)])
        context.note_field_ttl(field_ttl)
    elif len(calls) > 1:
        replies = yield from call_batch(calls)
    else:
        read = calls[0]
        assert isinstance(read, ScriptCall)
        replies = [(yield from call_script(read.name, read.keys, read.args))]
    return (yield from reading.complete(replies))


class _Reading:
    """One session being read."""

    def __init__(
        self,
        context: Context,
        key: SessionKey,
        bounds: Bounds,
        wants: Callable[[Event], bool] | None = None,
    ) -> None:
        self.context, self.key = context, key
        self.keys = context.keyspace.session(key)
        self.window = make_event_window(context, self.keys, bounds, wants or _is_any)
        self.app_state_is_near = context.options.hash_tag == "app"

    def calls(self) -> list[ScriptCall | Command]:
        """What reads it: a script, and the app's state where the script can't reach it."""
        keys = self.keys
        near = [keys.sessions, keys.events, keys.user_state]
        args = [keys.session_field, *self.window.first_args()]
        if self.app_state_is_near:
            return [ScriptCall("get_session", [*near, keys.app_state], args)]
        return [ScriptCall("get_session", near, args), ("HGETALL", keys.app_state)]

    def complete(self, replies: list[Any]) -> Flow[Session | None]:
        """Make the session of the replies, with further reads where entries were skipped."""
        if not replies[0]:
            return None
        record, size, older, entries, user_fields, near_app_fields = replies[0]
        self.window.take(size, older, entries)
        yield from self.window.finish()
        app_fields = near_app_fields if self.app_state_is_near else replies[1]
        shared_state = {
            **decode_fields(app_fields, APP_PREFIX),
            **decode_fields(user_fields, USER_PREFIX),
        }
        parsed = parse_sound_record(self.context, self.keys.sessions, record)
        return _make_session(self.key, parsed, shared_state, self.window)


def _is_any(_event: Event) -> bool:
    return True


def parse_sound_record(context: Context, sessions_key: bytes, record: bytes) -> Record:
    """Read a record; report what in it can't be read."""
    parsed = parse_record(record)
    if not parsed.is_sound:
        context.report_corrupt(sessions_key, "a part of a session's record")
    return parsed


def _make_session(
    key: SessionKey,
    record: Record,
    shared_state: dict[str, Any],
    window: Window[Event] | None,
) -> Session:
    return Session(
        key=key,
        state={**shared_state, **record.state},
        events=window.items if window else [],
        tracks=record.tracks,
        created_at=to_datetime(record.created_ns),
        updated_at=to_datetime(record.updated_ns),
        is_cut=window.is_cut if window else True,
    )


def list_sessions(
    context: Context,
    app_name: str,
    user_id: str,
    *,
    limit: int | None,
    offset: int,
    include_events: bool,
) -> Flow[list[Session]]:
    """Read a user's sessions, the last updated first; remove those that have expired."""
    sessions_key = context.keyspace.sessions(app_name, user_id)
    now_ms, listed = yield from call_script("list_sessions", [sessions_key], [])
    ages: list[tuple[int, SessionKey]] = []
    overdue: list[tuple[int, SessionKey]] = []
    for field, updated, expires, foreign in listed:
        try:
            key = SessionKey(app_name, user_id, field.decode())
        except (InvalidSessionKeyError, UnicodeDecodeError):
            context.report_corrupt(sessions_key, "a session's id")
            continue
        tail = foreign or b'{"updatedAt":"%b"}' % updated
        age = (parse_record(tail).updated_ns, key)
        (overdue if expires and int(expires) <= int(now_ms) else ages).append(age)
    ages += yield from _drop_expired(context, overdue)
    ages.sort(key=lambda age: (age[0], age[1].session_id), reverse=True)
    page = [key for _, key in ages[offset : None if limit is None else offset + limit]]
    if include_events:
        return (yield from _read_sessions(context, page))
    return (yield from _read_records(context, app_name, user_id, page))


def _drop_expired(
    context: Context, overdue: list[tuple[int, SessionKey]]
) -> Flow[list[tuple[int, SessionKey]]]:
    """Remove the sessions that are past their time and have no events; give the others."""
    if not overdue:
        return []
    replies = yield from call_batch(
        [("EXISTS", context.keyspace.session(key).events) for _, key in overdue]
    )
    alive = []
    for age, exists in zip(overdue, replies, strict=True):
        if exists:
            alive.append(age)
        else:
            yield from purge_expired(context, age[1])
    return alive


def _read_sessions(context: Context, page: list[SessionKey]) -> Flow[list[Session]]:
    readings = [_Reading(context, key, Bounds()) for key in page]
    calls = [reading.calls() for reading in readings]
    replies = iter((yield from call_batch([call for some in calls for call in some])))
    sessions = []
    for reading, some in zip(readings, calls, strict=True):
        session = yield from reading.complete([next(replies) for _ in some])
        if session is not None:
            sessions.append(session)
    return sessions


def _read_records(
    context: Context, app_name: str, user_id: str, page: list[SessionKey]
) -> Flow[list[Session]]:
    if not page:
        return []
    keyspace = context.keyspace
    sessions_key = keyspace.sessions(app_name, user_id)
    records, app_fields, user_fields = yield from call_batch(
        [
            ("HMGET", sessions_key, *(key.session_id.encode() for key in page)),
            ("HGETALL", keyspace.app_state(app_name)),
            ("HGETALL", keyspace.user_state(app_name, user_id)),
        ]
    )
    shared = {**decode_fields(app_fields, APP_PREFIX), **decode_fields(user_fields, USER_PREFIX)}
    return [
        _make_session(key, parse_sound_record(context, sessions_key, record), shared, None)
        for key, record in zip(page, records, strict=True)
        if record is not None
    ]


def _scan(pattern: str) -> Flow[set[bytes]]:
    keys: set[bytes] = set()
    cursors: Mapping[str, int] | None = None
    while cursors is None or cursors:
        request: Request = ScanPage(pattern, cursors)
        cursors, found = yield request
        keys.update(found)
    return keys


def list_users(context: Context, app_name: str) -> Flow[list[str]]:
    """Find the users of an app that have a session or state, by a SCAN over all keys."""
    users: set[str] = set()
    for pattern in context.keyspace.user_patterns(app_name):
        for key in (yield from _scan(pattern)):
            user = context.keyspace.parse_user(key, app_name)
            if user is not None:
                users.add(user)
    return sorted(users)


def delete_user(context: Context, app_name: str, user_id: str) -> Flow[DeletedUser]:
    """Delete everything of a user, what no session owns any more included."""
    keyspace = context.keyspace
    sessions_key = keyspace.sessions(app_name, user_id)
    sessions = yield ("HLEN", sessions_key)
    keys: set[bytes] = set()
    for pattern in keyspace.session_patterns(app_name, user_id):
        keys |= yield from _scan(pattern)
    # The hash of sessions goes last: a delete that was cut short finds its way again.
    ordered = [
        *sorted(keys),
        keyspace.summaries(app_name, user_id),
        keyspace.user_state(app_name, user_id),
        sessions_key,
    ]
    deleted = 0
    for place in range(0, len(ordered), _MOST_KEYS):
        batch = [("UNLINK", key) for key in ordered[place : place + _MOST_KEYS]]
        deleted += sum((yield from call_batch(batch)))
    return DeletedUser(sessions=sessions, keys=deleted)
