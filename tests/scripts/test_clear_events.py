from __future__ import annotations

import pytest

from langchain_redis_session._flow.scripts import ScriptCall
from langchain_redis_session.scripts import bindings
from langchain_redis_session.scripts.replies import Removed, Status
from tests.scripts.store import CORE, MINUTE, UPDATED, YEAR, Store

OURS, THEIRS = '{"summary":"x"}', '{"":{"summary":"x"}}'


def clearing(store: Store, ttl: int = 0, highest: str = "+inf") -> ScriptCall[Removed]:
    return bindings.clear_events(
        store.keys, session_ttl_ms=ttl, try_field_ttl=True, highest=highest
    )


def clear(store: Store, ttl: int = 0, highest: str = "+inf") -> Removed:
    return store.call(clearing(store, ttl, highest))


def fill(store: Store) -> None:
    store.put_record()
    store.put_events("a", "b", "c")
    store.client.zadd(store.index, {"ia": 1, "ib": 2, "ic": 3})
    store.client.sadd(store.tracks, "t")
    neighbours = {"s2:": OURS, "s2": THEIRS, "s:theirs": THEIRS}
    store.client.hset(store.summaries, mapping={"s:": OURS, "s:a/b": OURS, **neighbours})
    store.client.hset(store.summaries, mapping={"s": THEIRS, ":s": "3:a/b6:theirs"})
    store.client.set(store.lease, "t")


def test_events_and_summaries_go(store: Store) -> None:
    fill(store)
    assert clear(store) == Removed(Status.OK, 3, None)
    assert store.names() == ["sessions", "summaries", "tracks"]
    assert set(store.client.hkeys(store.summaries)) == {b"s2:", b"s2", b"s:theirs"}
    assert store.record.startswith(CORE + ',"updatedAt":"')
    assert store.record != CORE + UPDATED
    assert clear(store) == Removed(Status.OK, 0, None)


def test_what_came_later_stays(store: Store) -> None:
    fill(store)
    for highest, removed, left in (("-inf", 0, "abc"), ("2", 2, "c"), ("2", 0, "c")):
        assert clear(store, highest=highest).removed == removed
        assert "".join(member for member, _ in store.scored(store.events)) == left
        assert [i for i, _ in store.scored(store.index)] == [f"i{member}" for member in left]


def test_a_little_that_came_later_stays_to_the_bit(store: Store) -> None:
    """Where most goes, the key goes whole, and what stays is put back."""
    fill(store)
    later = {"d": 1.8e18, "e": 1.8e18 + 256, "f": 0.1 + 0.2}
    store.client.zadd(store.events, {f"x{n}": n / 100 for n in range(30)})
    store.client.zadd(store.events, later)
    before = store.scored(store.events)
    assert clear(store, MINUTE, highest="0.29").removed == 30
    assert store.scored(store.events) == before[30:]
    assert store.ttls()["events"] == 1


def test_events_without_a_session_are_cleared(store: Store) -> None:
    assert clear(store, MINUTE) == Removed(Status.OK, 0, None)
    store.put_events("a")
    assert clear(store, MINUTE) == Removed(Status.OK, 1, None)
    assert store.names() == []


def test_a_session_that_lost_its_lifetime_is_not_brought_back(store: Store) -> None:
    record = store.put_record()
    assert clear(store, MINUTE).field_ttl is None
    assert store.record == record
    clear(store, 100 * YEAR)
    assert store.record != record


def test_a_foreign_record_keeps_its_events(store: Store) -> None:
    fill(store)
    store.put_record(end=',"updatedAt":"x","generation":7}')
    before = store.dump()
    assert clear(store, MINUTE) == Removed(Status.FOREIGN)
    assert store.dump() == before


def test_the_ttl_of_every_key(store: Store) -> None:
    fill(store)
    for key in (store.sessions, store.tracks):
        store.client.pexpire(key, MINUTE)
    reply = clear(store, 2 * MINUTE, "1")
    assert reply == Removed(Status.OK, 1, store.has_field_ttl)
    expected = {"sessions": 2, "tracks": 2, "events": 2, "index": 2, "summaries": -1}
    assert store.ttls() == expected
    assert store.field_minutes() in (None, 2)
    clear(store, 0, "1")
    assert set(store.ttls().values()) == {-1}


@pytest.mark.parametrize("wrong", ["sessions", "events", "index", "summaries"])
def test_a_key_of_the_wrong_type(store: Store, wrong: str) -> None:
    fill(store)
    assert store.refuses(store.key(wrong), clearing(store, MINUTE))
