from __future__ import annotations

import math
from typing import Any

import pytest

from langchain_redis_session._flow.scripts import ScriptCall
from langchain_redis_session.scripts import bindings
from langchain_redis_session.scripts.bindings import Entry
from langchain_redis_session.scripts.replies import Appended, Fate, Status
from tests.scripts.store import CORE, MINUTE, UPDATED, YEAR, Store

FRESH, STORED, REMOVED = Fate.FRESH, Fate.STORED, Fate.REMOVED
MISSING = Appended(Status.MISSING)
NAMED = CORE.replace("{}", '{"tracks":"x"}')


def appending(
    store: Store,
    *sent: tuple[float, str],
    limit: int | None = None,
    ttl: int = 0,
    track_ttl: int = 0,
    expected: str = CORE,
    replacement: str = NAMED,
) -> ScriptCall[Appended]:
    return bindings.append_track_events(
        store.keys,
        track="t",
        event_limit=limit,
        session_ttl_ms=ttl,
        track_ttl_ms=track_ttl,
        try_field_ttl=True,
        expected=expected.encode(),
        replacement=replacement.encode(),
        entries=[Entry(f"{score:.17g}", member.encode()) for score, member in sent],
    )


def append(store: Store, *sent: tuple[float, str], **options: Any) -> Appended:
    return store.call(appending(store, *sent, **options))


def test_the_first_one_names_the_track(store: Store) -> None:
    assert append(store, (1, "a")) == MISSING
    assert store.names() == []
    record = store.put_record()
    assert append(store, (1, "a"), expected="other") == Appended(
        Status.STATE, record=record.encode()
    )
    assert store.names() == ["sessions"]
    up = math.nextafter(5, 6)
    assert append(store, (5, "a"), (5, "b")) == Appended(
        Status.OK, removed=0, field_ttl=None, fates=[FRESH, FRESH], scores=[5, up]
    )
    assert store.client.smembers(store.tracks) == {b"t"}
    assert store.record.startswith(NAMED + ',"updatedAt":"')
    assert store.record != NAMED + UPDATED
    assert append(store, (1, "c"), expected="", replacement="").status is Status.OK
    assert [member for member, _ in store.scored(store.key("t"))] == ["a", "b", "c"]
    assert store.record.startswith(NAMED + ',"updatedAt":"')


def test_a_track_over_its_limit_loses_its_oldest_once(store: Store) -> None:
    store.put_record()
    sent = [(n, f"e{n}") for n in range(5)]
    assert append(store, *sent, limit=3).removed == 2
    after = store.dump()
    assert append(store, *sent, limit=3).fates == [REMOVED, REMOVED, STORED, STORED, STORED]
    assert store.dump() == after
    assert append(store, (1, "e4"), (1, "new"), limit=3).fates == [STORED, FRESH]
    assert [m for m, _ in store.scored(store.key("t"))] == ["e3", "e4", "new"]


def test_an_append_to_an_expired_session_changes_nothing(store: Store) -> None:
    store.put_record(expires=1)
    before = store.dump()
    assert append(store, (1, "a")) == MISSING
    assert store.dump() == before


def test_a_session_that_lost_its_lifetime(store: Store) -> None:
    store.put_record()
    assert append(store, (1, "a"), ttl=MINUTE).status is Status.MISSING
    assert append(store, (1, "a"), ttl=100 * YEAR).status is Status.OK


def test_a_foreign_record_is_given_back_before_it_is_replaced(store: Store) -> None:
    record = store.put_record(end=',"updatedAt":"x","generation":7}')
    store.client.sadd(store.tracks, "t")
    assert append(store, (1, "a"), expected="") == Appended(Status.STATE, record=record.encode())
    assert append(store, (1, "a"), expected=record).status is Status.OK


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
        **{"t": track, "tracks": index, "events": own, "index": own, "sessions": own},
    }
    assert reply.field_ttl is (store.has_field_ttl if ttl else None)
    assert store.field_minutes() in (None, own)


@pytest.mark.parametrize("wrong", ["sessions", "t", "tracks"])
def test_a_key_of_the_wrong_type(store: Store, wrong: str) -> None:
    store.put_record()
    assert store.refuses(store.key(wrong), appending(store, (1, "a"), ttl=MINUTE))
