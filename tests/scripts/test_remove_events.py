from __future__ import annotations

import pytest

from langchain_redis_session._flow.scripts import ScriptCall
from langchain_redis_session.scripts import bindings
from langchain_redis_session.scripts.replies import Removed, Status
from tests.scripts.store import CORE, MINUTE, UPDATED, Store, make_summary

NOTHING = Removed(Status.OK, 0, None)


def removal(store: Store, *entries: str, ttl: int = 0) -> ScriptCall[Removed]:
    return bindings.remove_events(
        store.keys,
        session_ttl_ms=ttl,
        try_field_ttl=True,
        entries=[entry.encode() for entry in entries],
    )


def remove(store: Store, *entries: str, ttl: int = 0) -> Removed:
    return store.call(removal(store, *entries, ttl=ttl))


def fill(store: Store) -> None:
    store.put_record()
    store.put_events("a", "b", "c")
    store.client.zadd(store.index, {"ia": 1, "ib": 2, "ic": 3})
    store.client.sadd(store.tracks, "t")
    store.client.hset(store.summaries, "s:", "x")
    store.client.set(store.lease, "t")


def test_entries_go_and_only_once(store: Store) -> None:
    fill(store)
    assert remove(store, "c", "a", "unknown") == Removed(Status.OK, 2, None)
    assert store.scored(store.events) == [("b", 2)]
    assert not store.client.exists(store.index)  # made anew when it is asked for
    assert not store.client.exists(store.lease)  # what is being made is of what went
    assert store.record != CORE + UPDATED
    after = store.dump()
    assert remove(store, "c", "a", "unknown") == NOTHING
    assert store.dump() == after


def test_nothing_changes_where_nothing_is_to_remove(store: Store) -> None:
    fill(store)
    before = store.dump()
    assert remove(store) == remove(store, "x") == NOTHING
    assert store.dump() == before


def test_a_foreign_record_keeps_its_events(store: Store) -> None:
    fill(store)
    store.put_record(end=',"updatedAt":"x","generation":7}')
    before = store.dump()
    assert remove(store, "a") == Removed(Status.FOREIGN)
    assert store.dump() == before


def test_events_without_a_record(store: Store) -> None:
    store.put_events("a", "b")
    assert remove(store, "a") == Removed(Status.OK, 1, None)
    assert store.names() == ["events"]


def test_the_ttl_of_every_key(store: Store) -> None:
    fill(store)
    for key in (store.sessions, store.tracks, store.summaries):
        store.client.pexpire(key, MINUTE)
    assert remove(store, "a", ttl=2 * MINUTE) == Removed(Status.OK, 1, store.has_field_ttl)
    assert store.ttls() == {"sessions": 2, "events": 2, "tracks": 2, "summaries": 2}
    assert store.field_minutes() in (None, 2)
    remove(store, "b")
    assert set(store.ttls().values()) == {-1}


@pytest.mark.parametrize(
    ("removed", "left"), [("a", (2, 3, 3)), ("bc", (1, 1, 1)), ("abc", (0, 0, 0))]
)
def test_no_summary_goes_further_than_what_is_left(
    store: Store, removed: str, left: tuple[int, int, int]
) -> None:
    fill(store)
    names = ("s:", "s:a", "s:b", "s2:")
    before = {name: make_summary(score) for name, score in zip(names, (2, 3, 9, 9), strict=True)}
    store.client.hset(store.summaries, mapping={**before, ":s": "1:a1:b"})
    assert remove(store, *removed, ttl=MINUTE).removed == len(removed)
    after = [value.decode() for value in store.client.hmget(store.summaries, names)]
    assert after == [make_summary(score) for score in (*left, 9)]
    if store.has_field_ttl:  # which writing a field ends
        assert store.summary_minutes("s:b") == store.summary_minutes(":s") == 1


@pytest.mark.parametrize("wrong", ["sessions", "events", "index", "summaries"])
def test_a_key_of_the_wrong_type(store: Store, wrong: str) -> None:
    fill(store)
    assert store.refuses(store.key(wrong), removal(store, "a", "b", ttl=MINUTE))
