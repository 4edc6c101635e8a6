from __future__ import annotations

import time

import pytest

from langchain_redis_session._flow.scripts import ScriptCall
from langchain_redis_session.scripts import bindings
from langchain_redis_session.scripts.replies import ListedSession, ListedSessions
from tests.scripts.store import CORE, MINUTE, UPDATED, Store


def listing(store: Store, ttl: int = 0) -> ScriptCall[ListedSessions]:
    return bindings.list_sessions(store.sessions, session_ttl_ms=ttl)


def test_sessions_are_listed_with_times_and_foreign_records(store: Store) -> None:
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
    now_ms, listed = store.call(listing(store))
    assert begun_ms <= now_ms <= time.time_ns() // 1_000_000
    updated = b"2026-01-02T00:00:00.000000000Z"
    assert sorted(listed) == [
        ListedSession(b"f", updated=b"", expires_ms=None, foreign=foreign.encode()),
        ListedSession(b"s", updated, expires_ms=None, foreign=b""),
        ListedSession(b"t", updated, expires_ms=1_790_000_000_123, foreign=b""),
    ]
    assert store.dump() == before


@pytest.mark.parametrize(
    ("record", "expires_ms"),
    [
        (CORE + UPDATED, 1_767_312_000_000 + MINUTE),
        (CORE + ',"updatedAt":"2026-01-02T01:00:00.0019+01:00"}', 1_767_312_000_001 + MINUTE),
        (CORE + ',"updatedAt":"2026-01-01T23:59:59-00:00"}', 1_767_311_999_000 + MINUTE),
        (CORE + ',"updatedAt":"2024-02-29T00:00:00z"}', 1_709_164_800_000 + MINUTE),
        (CORE + ',"updatedAt":"1969-12-31T23:59:59.5Z"}', -500 + MINUTE),
        (CORE + ',"updatedAt":"x"}', None),
        (CORE + ',"expiresAtMs":5' + UPDATED, 5),
        ('{"updatedAt":"2026-01-02T00:00:00Z","id":"f"}', 1_767_312_000_000 + MINUTE),
        ('{"updatedAt": "2026-01-02T00:00:00Z", "id": "f"}', 1_767_312_000_000 + MINUTE),
        (CORE.replace(',"createdAt"', ',"eventLimit":0,"createdAt"') + UPDATED, None),
        (CORE.replace('"state":{}', '"state":{"eventLimit":"MQ=="}') + UPDATED, 1_767_312_060_000),
    ],
)
def test_when_a_session_expires_that_lost_its_lifetime(
    store: Store, record: str, expires_ms: int | None
) -> None:
    store.client.hset(store.sessions, "s", record)
    (listed,) = store.call(listing(store, MINUTE)).sessions
    assert listed.expires_ms == expires_ms


def test_a_user_without_sessions_has_an_empty_list(store: Store) -> None:
    assert store.call(listing(store)).sessions == []


def test_a_key_of_the_wrong_type(store: Store) -> None:
    assert store.refuses(store.sessions, listing(store))
