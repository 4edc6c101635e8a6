"""Marks of what was deleted, so that no spool and no dead letter brings it back.

A mark holds the time of the deletion, and stays for 30 days. Its key has no id in it, only
their SHA-256.
"""

from __future__ import annotations

from langchain_redis_session._flow.requests import Command, Flow
from langchain_redis_session._operations.context import Context
from langchain_redis_session.models import SessionKey

_KEPT_MS = 30 * 24 * 3600 * 1000


def mark_erased(
    context: Context, app_name: str, user_id: str, session_id: str | None = None, *, now_ms: int
) -> Command:
    """What notes that a user, or one session, is deleted now; to be sent before it is."""
    key = context.keyspace.erasure(app_name, user_id, session_id)
    return ("SET", key, now_ms, "PX", _KEPT_MS)


def read_erased_ms(context: Context, key: SessionKey) -> Flow[int]:
    """When a session or its user was last deleted, in ms since 1970; 0 for not at all."""
    keyspace = context.keyspace
    marks = yield (
        "MGET",
        keyspace.erasure(key.app_name, key.user_id),
        keyspace.erasure(*key.scope),
    )
    return max(int(mark) if mark and mark.isdigit() else 0 for mark in marks)
