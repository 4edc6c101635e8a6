"""Finding a user's sessions, in pages: the hash that holds them may be large."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from heapq import nlargest
from typing import Any, TypeAlias

from langchain_redis_session._codec.session_record import parse_times
from langchain_redis_session._flow.gather import gather_all
from langchain_redis_session._flow.requests import Command, Flow, compute
from langchain_redis_session._flow.scripts import call_batch
from langchain_redis_session._operations.context import Context
from langchain_redis_session._operations.delete_session import purge_expired
from langchain_redis_session.models import MAX_ID_BYTES, SessionKey
from langchain_redis_session.scripts import bindings

_FIRST_COUNT, _MOST_COUNT = 8, 500
"""The first page is small: it tells how long records are, and eight may have a megabyte each."""
_PAGE_BYTES = 128 * 1024
"""About what one page brings: records may hold much state."""
_MOST_PURGED = 100
"""The most expired sessions that one listing removes."""


_AGE_BYTES = 40
"""What a session is counted as, where only its id and time are looked at."""

_Age: TypeAlias = "tuple[int, bytes]"
"""When a session was updated, in ns, and its id."""
_Times: TypeAlias = "dict[bytes, tuple[int, int | None]]"
"""By session, when it was updated, in ns, and when it expires, in ms."""


def find_sessions(context: Context, app_name: str, user_id: str) -> Flow[list[_Age]]:
    """Find the sessions of a user that live: when each was updated, in ns, and its id.

    One that stands all the while is found, and once; expired ones are removed, a few at a time.
    """
    sessions_key = context.keyspace.sessions(app_name, user_id)
    now_ms, found = yield from _read_times(context, sessions_key)
    alive, overdue = yield from compute(
        partial(_split_by_expiry, found, now_ms), len(found) * _AGE_BYTES
    )
    if overdue:
        alive += yield from _drop_expired(context, app_name, user_id, overdue)
    return alive


def choose_newest(ages: list[_Age], count: int | None) -> Flow[list[_Age]]:
    """The sessions that were updated last, so many or all, the last one first."""

    def choose() -> list[_Age]:
        return sorted(ages, reverse=True) if count is None else nlargest(count, ages)

    return (yield from compute(choose, len(ages) * _AGE_BYTES))


def _split_by_expiry(found: _Times, now_ms: int) -> tuple[list[_Age], list[_Age]]:
    """Those before their time is over, and the others."""
    alive: list[_Age] = []
    overdue: list[_Age] = []
    for field, (updated_ns, expires_ms) in found.items():
        is_overdue = expires_ms is not None and expires_ms <= now_ms
        (overdue if is_overdue else alive).append((updated_ns, field))
    return alive, overdue


def _is_id(field: bytes) -> bool:
    if not 0 < len(field) <= MAX_ID_BYTES:
        return False
    if field.isascii():
        return True
    try:
        field.decode()
    except UnicodeDecodeError:
        return False
    return True


def _read_times(context: Context, sessions_key: bytes) -> Flow[tuple[int, _Times]]:
    """The server's time, and by session when it was updated and expires."""
    found: _Times = {}
    page_size = _FIRST_COUNT
    now_ms, reply = yield from call_batch(
        [bindings.get_time(sessions_key), _scan(sessions_key, 0, page_size)]
    )
    while True:
        cursor, records = _parse_scan(reply)
        for field, record in records.items():  # HSCAN may bring one twice
            if _is_id(field):
                found[field] = parse_times(record, context.options.session_ttl)
            else:
                yield context.unreadable(sessions_key, "a session's id")
        if cursor == 0:
            return now_ms, found
        average = sum(map(len, records.values())) // (len(records) or 1) + 1
        page_size = max(1, min(_PAGE_BYTES // average, 4 * page_size, _MOST_COUNT))
        reply = yield _scan(sessions_key, cursor, page_size)


def _scan(key: bytes, cursor: int, page_size: int) -> Command:
    return ("HSCAN", key, cursor, "COUNT", page_size)


def _parse_scan(reply: Any) -> tuple[int, Mapping[bytes, bytes]]:
    cursor, fields = reply
    # Some clients give the fields as a dict, some as a list.
    if not isinstance(fields, Mapping):
        fields = dict(zip(fields[::2], fields[1::2], strict=True))
    return int(cursor), fields


def _drop_expired(
    context: Context, app_name: str, user_id: str, overdue: list[_Age]
) -> Flow[list[_Age]]:
    """Of sessions past their time, give those that have events; remove some of the others."""
    alive: list[_Age] = []
    gone: list[SessionKey] = []
    for start in range(0, len(overdue), _MOST_COUNT):
        part = overdue[start : start + _MOST_COUNT]
        keys = [SessionKey(app_name, user_id, field.decode()) for _, field in part]
        replies = yield from call_batch(
            [("EXISTS", context.keyspace.session(key).events) for key in keys]
        )
        for age, key, exists in zip(part, keys, replies, strict=True):
            if exists:
                alive.append(age)
            else:
                gone.append(key)
    yield from gather_all([purge_expired(context, key) for key in gone[:_MOST_PURGED]])
    return alive
