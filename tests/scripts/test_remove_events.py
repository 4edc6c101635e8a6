from __future__ import annotations

from uuid import uuid4

import pytest

from langchain_redis_session._flow.scripts import ScriptCall
from langchain_redis_session.scripts import bindings
from langchain_redis_session.scripts.bindings import RemovedEntry
from langchain_redis_session.scripts.replies import Removed, Status
from tests.scripts.store import CORE, MINUTE, UPDATED, Store, make_summary

NOTHING = Removed(Status.OK, 0, None)


def removal(
    store: Store, *entries: str, ttl: int = 0, token: str = "", newest: str = ""
) -> ScriptCall[Removed]:
    """Event "a" has a message of the id "ia"."""
    return bindings.remove_events(
        store.keys,
        session_ttl_ms=ttl,
        try_field_ttl=True,
        token=token or uuid4().hex,
        newest=newest,
        entries=[RemovedEntry(entry.encode(), b"i" + entry.encode()) for entry in entries],
    )


def remove(store: Store, *entries: str, ttl: int = 0, token: str = "", newest: str = "") -> Removed:
    return store.call(removal(store, *entries, ttl=ttl, token=token, newest=newest))


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
    assert store.scored(store.index) == [("ib", 2)]
    assert not store.client.exists(store.lease)  # what is being made is of what went
    assert store.record != CORE + UPDATED
    after = store.dump()
    assert remove(store, "c", "a", "unknown") == NOTHING
    assert store.dump() == after


def test_a_build_of_the_index_ends(store: Store) -> None:
    fill(store)
    store.client.zadd(store.index, {"building 1": "inf"})
    remove(store, "c")
    assert store.scored(store.index) == []


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
    assert store.names() == ["events", "removals"]


def test_the_ttl_of_every_key(store: Store) -> None:
    fill(store)
    for key in (store.sessions, store.tracks, store.summaries):
        store.client.pexpire(key, MINUTE)
    assert remove(store, "a", ttl=2 * MINUTE) == Removed(Status.OK, 1, store.has_field_ttl)
    ttls = {"sessions": 2, "events": 2, "index": 2, "tracks": 2, "summaries": 2}
    assert store.ttls() == ttls | {"removals": 1}
    assert store.field_minutes() in (None, 2)
    remove(store, "b")
    assert store.ttls() == dict.fromkeys(ttls, -1) | {"removals": 1}


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


def test_what_is_sent_again_with_its_token_is_done_once(store: Store) -> None:
    fill(store)
    assert remove(store, "c", token="1", newest="3").removed == 1
    assert remove(store, "b", token="2", newest="2").removed == 1
    after = store.dump()
    assert remove(store, "c", token="1", newest="3") == Removed(Status.OK, 1, None)
    assert remove(store, "b", token="2", newest="2") == Removed(Status.OK, 1, None)
    assert store.dump() == after
    assert store.ttls()["removals"] == 1


def test_only_the_last_receipts_are_kept(store: Store) -> None:
    names = [f"e{number:03}" for number in range(200)]
    store.put_events(*names)
    for name in names:
        assert remove(store, name, token=name * 8).removed == 1
    assert store.client.strlen(store.removals) < 1700
    assert remove(store, "e199", token="e199" * 8).removed == 1
    assert remove(store, "e000", token="e000" * 8).removed == 0


@pytest.mark.parametrize(
    ("entries", "newest"), [(["c", "x"], "3"), (["c"], "2"), (["c"], "4"), (["x"], "3")]
)
def test_nothing_goes_where_something_has_come_or_gone(
    store: Store, entries: list[str], newest: str
) -> None:
    fill(store)
    before = store.dump()
    assert remove(store, *entries, newest=newest) == Removed(Status.CHANGED)
    assert store.dump() == before
    assert remove(store, "c", "b", newest="3").removed == 2


def test_ids_go_from_the_index_one_by_one(store: Store) -> None:
    fill(store)
    remove(store, "c", "b")
    assert store.scored(store.index) == [("ia", 1)]


def test_the_index_is_made_anew_where_an_id_is_in_several_events(store: Store) -> None:
    fill(store)
    store.client.zadd(store.index, {"": 3})
    remove(store, "a")
    assert not store.client.exists(store.index)
