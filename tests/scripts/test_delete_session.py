from __future__ import annotations

from typing import Any

import pytest

from langchain_redis_session._flow.scripts import ScriptCall
from langchain_redis_session.scripts import bindings
from langchain_redis_session.scripts.replies import Status
from tests.scripts.store import CORE, CREATED, CREATED_BY_GO, MINUTE, YEAR, Store

OURS, THEIRS = '{"summary":"x"}', '{"":{"summary":"x"}}'


def fill(store: Store, *, expires: int | None = None) -> None:
    store.put_record(expires=expires)
    store.client.hset(store.sessions, "other", "x")
    store.put_events("a")
    store.client.zadd(store.index, {"i": 1})
    store.client.sadd(store.tracks, "t", "u")
    for track in ("t", "u"):
        store.client.zadd(store.key(track), {"x": 1})
    fields = {"s:": OURS, "s:a/b": OURS, "s": THEIRS, "s2:": OURS, ":s": "3:a/b1:c"}
    store.client.hset(store.summaries, mapping=fields)
    store.client.set(store.lease, "t")


def deletion(
    store: Store,
    *,
    tracks: str = "tu",
    ttl: int = 0,
    only_expired: bool = False,
    created: str = CREATED,
) -> ScriptCall[Status]:
    return bindings.delete_session(
        store.keys,
        session_ttl_ms=ttl,
        only_expired=only_expired,
        created=created.encode(),
        tracks=[track.encode() for track in tracks],
    )


def delete(store: Store, **options: Any) -> Status:
    return store.call(deletion(store, **options))


def test_everything_of_a_session_goes_and_nothing_of_others(store: Store) -> None:
    fill(store)
    assert delete(store) is Status.OK
    assert store.names() == ["sessions", "summaries"]
    assert store.client.hkeys(store.sessions) == [b"other"]
    assert store.client.hkeys(store.summaries) == [b"s2:"]
    assert delete(store) is Status.MISSING


def test_a_track_that_came_meanwhile(store: Store) -> None:
    fill(store)
    before = store.dump()
    assert delete(store, tracks="t") is Status.TRACKS
    assert store.dump() == before
    assert delete(store, tracks="tux") is Status.OK


def test_a_later_session_of_that_id(store: Store) -> None:
    fill(store)
    before = store.dump()
    assert delete(store, created="2025-01-01T00:00:00Z") is Status.CHANGED
    assert store.dump() == before


@pytest.mark.parametrize("created", [CREATED, CREATED_BY_GO, "2026-01-01T00:00:00.00Z"])
@pytest.mark.parametrize("found", [CREATED, CREATED_BY_GO])
def test_a_record_that_was_written_anew_meanwhile(store: Store, found: str, created: str) -> None:
    fill(store)
    store.put_record(core=CORE.replace(CREATED, found))
    assert delete(store, created="2026-01-01T00:00:00.1Z") is Status.CHANGED
    assert delete(store, created=created) is Status.OK


def test_one_that_lost_its_lifetime(store: Store) -> None:
    fill(store)
    store.client.unlink(store.events)
    assert delete(store, only_expired=True) is Status.ALIVE
    assert delete(store, only_expired=True, ttl=100 * YEAR) is Status.ALIVE
    assert delete(store, only_expired=True, ttl=MINUTE) is Status.OK


def test_only_what_has_expired(store: Store) -> None:
    fill(store)
    before = store.dump()
    assert delete(store, only_expired=True) is Status.ALIVE
    fill(store, expires=1)  # but it has events
    assert delete(store, only_expired=True) is Status.ALIVE
    fill(store)
    assert store.dump() == before
    fill(store, expires=1)
    store.client.unlink(store.events)
    assert delete(store, only_expired=True) is Status.OK
    assert store.names() == ["sessions", "summaries"]


def test_events_whose_record_was_evicted(store: Store) -> None:
    fill(store)
    store.client.hdel(store.sessions, "s")
    assert delete(store, only_expired=True, created="") is Status.MISSING
    assert store.names() == ["events", "index", "sessions", "summaries"]
    assert delete(store, created="") is Status.MISSING
    assert store.names() == ["sessions", "summaries"]


def test_what_is_shared_keeps_its_ttl(store: Store) -> None:
    fill(store)
    for key in (store.sessions, store.summaries):
        store.client.pexpire(key, MINUTE)
    delete(store)
    assert store.ttls() == {"sessions": 1, "summaries": 1}


@pytest.mark.parametrize("wrong", ["sessions", "tracks", "summaries"])
def test_a_key_of_the_wrong_type(store: Store, wrong: str) -> None:
    fill(store)
    assert store.refuses(store.key(wrong), deletion(store))


def test_another_programs_summaries_that_look_like_ours_stay(store: Store) -> None:
    fill(store)
    theirs = {"s:a/b": THEIRS, "s:c": OURS, ":s2": THEIRS}
    store.client.hset(store.summaries, mapping=theirs)
    assert delete(store) is Status.OK
    assert set(store.client.hkeys(store.summaries)) == {b"s:a/b", b"s2:", b":s2"}
    fill(store)
    store.client.hset(store.summaries, ":s", THEIRS)
    assert delete(store) is Status.OK
    assert b":s" in store.client.hkeys(store.summaries)
