"""The users of an app: found, and deleted with all that is theirs."""

from __future__ import annotations

from collections.abc import Mapping

from langchain_redis_session._flow.requests import Flow, Request, ScanPage
from langchain_redis_session._flow.scripts import call_batch
from langchain_redis_session._operations.context import Context
from langchain_redis_session._operations.erasures import mark_erased
from langchain_redis_session.models import DeletedUser

_MOST_KEYS = 500


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


def delete_user(context: Context, app_name: str, user_id: str, *, now_ms: int) -> Flow[DeletedUser]:
    """Delete everything of a user, what no session owns any more included, and mark that."""
    keyspace = context.keyspace
    sessions_key = keyspace.sessions(app_name, user_id)
    mark = mark_erased(context, app_name, user_id, now_ms=now_ms)
    _, sessions = yield from call_batch([mark, ("HLEN", sessions_key)])
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
