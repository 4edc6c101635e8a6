from __future__ import annotations

import time

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
    now_ms, listed = store.call("list_sessions", [store.sessions], [])
    assert begun_ms <= int(now_ms) <= time.time_ns() // 1_000_000
    updated = b"2026-01-02T00:00:00.000000000Z"
    assert sorted(listed) == [
        [b"f", b"", b"", foreign.encode()],
        [b"s", updated, b"", b""],
        [b"t", updated, b"1790000000123", b""],
    ]
    assert store.dump() == before


def test_none(store: Store) -> None:
    assert store.call("list_sessions", [store.sessions], [])[1] == []


def test_a_key_of_the_wrong_type(store: Store) -> None:
    assert store.refuses(store.sessions, "list_sessions", [store.sessions], [])
