from __future__ import annotations

import time

from langchain_redis_session.scripts import bindings
from langchain_redis_session.scripts.replies import ListedSession
from tests.scripts.store import CORE, UPDATED, Store


def test_what_is_listed(store: Store) -> None:
    foreign = '{"updatedAt":"x","id":"f"}'
    store.client.hset(
        store.sessions,
        mapping={
            "s": CORE + UPDATED,
            "t": CORE + ',"expiresAtMs":1790000000123' + UPDATED,
            "f": foreign,
        },
    )
    before = store.dump()
    begun_ms = time.time_ns() // 1_000_000
    now_ms, listed = store.call(bindings.list_sessions(store.sessions))
    assert begun_ms <= now_ms <= time.time_ns() // 1_000_000
    updated = b"2026-01-02T00:00:00.000000000Z"
    assert sorted(listed) == [
        ListedSession(b"f", updated=b"", expires_ms=None, foreign=foreign.encode()),
        ListedSession(b"s", updated, expires_ms=None, foreign=b""),
        ListedSession(b"t", updated, expires_ms=1_790_000_000_123, foreign=b""),
    ]
    assert store.dump() == before


def test_none(store: Store) -> None:
    assert store.call(bindings.list_sessions(store.sessions)).sessions == []


def test_a_key_of_the_wrong_type(store: Store) -> None:
    assert store.refuses(store.sessions, bindings.list_sessions(store.sessions))
