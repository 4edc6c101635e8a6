"""The apps, and the users of an app: found, and users deleted with all that is theirs."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from langchain_redis_session._flow.requests import Flow, Request, ScanPage
from langchain_redis_session._flow.scripts import call_batch
from langchain_redis_session._operations.context import Context
from langchain_redis_session._operations.erasures import mark_erased
from langchain_redis_session.models import DeletedUser

_MOST_KEYS = 500


def _scan(pattern: str, take: Callable[[list[bytes]], Flow[None]]) -> Flow[None]:
    """Walk once over all keys of the database, a page at a time."""
    cursors: Mapping[str, int] | None = None
    while cursors is None or cursors:
        request: Request = ScanPage(pattern, cursors)
        cursors, found = yield request
        yield from take(found)


def _find_names(pattern: str, parse: Callable[[bytes], str | None]) -> Flow[list[str]]:
    names: set[str] = set()

    def take(keys: list[bytes]) -> Flow[None]:
        names.update(name for name in map(parse, keys) if name is not None)
        yield from ()

    yield from _scan(pattern, take)
    return sorted(names)


def list_apps(context: Context) -> Flow[list[str]]:
    """Find the apps that have state or memory, or a user with a session, state or memory."""
    keyspace = context.keyspace
    return (yield from _find_names(keyspace.app_pattern(), keyspace.parse_app))


def list_users(context: Context, app_name: str) -> Flow[list[str]]:
    """Find the users of an app that have a session, state or memory."""
    keyspace = context.keyspace
    pattern = keyspace.user_pattern(app_name)
    return (yield from _find_names(pattern, lambda key: keyspace.parse_user(key, app_name)))


def delete_user(context: Context, app_name: str, user_id: str, *, now_ms: int) -> Flow[DeletedUser]:
    """Delete everything of a user, what no session owns any more included, and mark that."""
    keyspace = context.keyspace
    sessions_key = keyspace.sessions(app_name, user_id)
    mark = mark_erased(context, app_name, user_id, now_ms=now_ms)
    _, sessions = yield from call_batch([mark, ("HLEN", sessions_key)])
    prefixes = keyspace.part_prefixes(app_name, user_id)
    deleted = 0

    def unlink(keys: list[bytes]) -> Flow[None]:
        nonlocal deleted
        for start in range(0, len(keys), _MOST_KEYS):
            batch = [("UNLINK", key) for key in keys[start : start + _MOST_KEYS]]
            deleted += sum((yield from call_batch(batch)))

    # What is found goes at once: a delete that was cut short has less to do when it is repeated.
    yield from _scan(
        keyspace.part_pattern(app_name, user_id),
        lambda found: unlink([key for key in found if key.startswith(prefixes)]),
    )
    # The hash of sessions goes last: until then the user is found.
    shared = [
        keyspace.summaries(app_name, user_id),
        keyspace.user_state(app_name, user_id),
        keyspace.usage(app_name, user_id),
        keyspace.user_memory(app_name, user_id).index,
    ]
    yield from unlink([*shared, sessions_key])
    return DeletedUser(sessions=sessions, keys=deleted)
