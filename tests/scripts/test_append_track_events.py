from __future__ import annotations

from typing import Any

import pytest

from langchain_redis_session._flow.requests import Argument
from tests.scripts.store import CORE, MINUTE, UPDATED, Store

FRESH, STORED, REMOVED = 1, 2, 4
NAMED = CORE.replace("{}", '{"tracks":"x"}')


def arguments(
    *sent: tuple[float, str],
    limit: int = 0,
    ttl: int = 0,
    track_ttl: int = 0,
    expected: str = CORE,
    replacement: str = NAMED,
) -> list[Argument]:
    args: list[Argument] = ["s", "t", limit, ttl, track_ttl, 1, expected, replacement, "s:"]
    for score, member in sent:
        args += [f"{score:.17g}", member]
    return args


def append(store: Store, *sent: tuple[float, str], **options: Any) -> list[Any]:
    keys = [*store.session_keys, store.key("track")]
    reply: list[Any] = store.call("append_track_events", keys, arguments(*sent, **options))
    return reply


def test_the_first_one_names_the_track(store: Store) -> None:
    assert append(store, (1, "a")) == [b"MISSING"]
    assert store.names() == []
    record = store.put_record()
    assert append(store, (1, "a"), expected="other") == [b"STATE", record.encode()]
    assert store.names() == ["sessions"]
    assert append(store, (5, "a"), (5, "b"))[:4] == [b"OK", 0, -1, [FRESH, FRESH]]
    assert store.client.smembers(store.tracks) == {b"t"}
    assert store.record.startswith(NAMED + ',"updatedAt":"')
    assert store.record != NAMED + UPDATED
    assert append(store, (1, "c"), expected="", replacement="")[0] == b"OK"
    assert [member for member, _ in store.scored(store.key("track"))] == ["a", "b", "c"]
    assert store.record.startswith(NAMED + ',"updatedAt":"')


def test_the_limit_and_twice(store: Store) -> None:
    store.put_record()
    sent = [(n, f"e{n}") for n in range(5)]
    assert append(store, *sent, limit=3)[1] == 2
    after = store.dump()
    assert append(store, *sent, limit=3)[3] == [REMOVED, REMOVED, STORED, STORED, STORED]
    assert store.dump() == after
    assert append(store, (1, "e4"), (1, "new"), limit=3)[3] == [STORED, FRESH]
    assert [m for m, _ in store.scored(store.key("track"))] == ["e3", "e4", "new"]


def test_an_expired_session(store: Store) -> None:
    store.put_record(expires=1)
    before = store.dump()
    assert append(store, (1, "a")) == [b"MISSING"]
    assert store.dump() == before


def test_a_foreign_record(store: Store) -> None:
    record = store.put_record(end=',"updatedAt":"x","generation":7}')
    store.client.sadd(store.tracks, "t")
    assert append(store, (1, "a"), expected="") == [b"STATE", record.encode()]
    assert append(store, (1, "a"), expected=record)[0] == b"OK"


@pytest.mark.parametrize(
    ("ttl", "track_ttl", "track", "index"),
    [(2, 2, 2, 2), (2, 3, 3, 3), (2, 1, 1, 2), (2, 0, -1, -1), (0, 2, 2, -1), (0, 0, -1, -1)],
)
def test_the_ttl_of_every_key(
    store: Store, ttl: int, track_ttl: int, track: int, index: int
) -> None:
    store.put_events("x")
    store.client.zadd(store.index, {"i": 1})
    store.client.hset(store.sessions, "other", "x")
    store.client.pexpire(store.sessions, MINUTE)
    store.client.hset(store.summaries, "s:", "x")
    store.client.pexpire(store.summaries, MINUTE)
    store.put_record()
    reply = append(store, (1, "a"), ttl=ttl * MINUTE, track_ttl=track_ttl * MINUTE)
    own = ttl or -1
    assert store.ttls() == {
        "summaries": own,
        **{"track": track, "tracks": index, "events": own, "index": own, "sessions": own},
    }
    assert reply[2] == (store.field_ttl if ttl else -1)
    assert store.field_minutes() in (None, own)


@pytest.mark.parametrize("wrong", ["sessions", "track", "tracks"])
def test_a_key_of_the_wrong_type(store: Store, wrong: str) -> None:
    store.put_record()
    keys = [*store.session_keys, store.key("track")]
    args = arguments((1, "a"), ttl=MINUTE)
    assert store.refuses(store.key(wrong), "append_track_events", keys, args)
