from __future__ import annotations

import json
from typing import Any

import pytest

from langchain_redis_session._flow.scripts import ScriptCall
from langchain_redis_session.scripts import bindings
from langchain_redis_session.scripts.replies import Status, StoredSummaries
from tests.scripts.store import MINUTE, YEAR, Store, make_event, make_foreign, make_summary

MISSING = StoredSummaries(Status.MISSING)


def reading(store: Store, *filter_keys: str, ttl: int = 0) -> ScriptCall[StoredSummaries]:
    return bindings.get_summaries(store.keys, session_ttl_ms=ttl, filter_keys=filter_keys)


def read(store: Store, **options: Any) -> StoredSummaries:
    return store.call(reading(store, "", "a", **options))


def test_summaries_are_read_as_they_are_stored(store: Store) -> None:
    record = store.put_record().encode()
    assert read(store) == StoredSummaries(Status.OK, record, b"", {}, [b"", b""])
    ours = make_summary(1)
    store.client.hset(store.summaries, mapping={"s:": ours, "s": "theirs", "s:b": "other"})
    before = store.dump()
    assert read(store) == StoredSummaries(Status.OK, record, b"theirs", {}, [ours.encode(), b""])
    assert store.call(reading(store)) == StoredSummaries(Status.OK, record, b"theirs", {}, [])
    assert store.dump() == before


def test_no_session_or_an_expired_one(store: Store) -> None:
    store.client.hset(store.summaries, "s:", make_summary(1))
    assert read(store) == MISSING
    store.put_record(expires=1)
    assert read(store) == MISSING
    store.put_events("a")
    assert read(store).status is Status.OK


def test_one_that_lost_its_lifetime(store: Store) -> None:
    store.put_record()
    assert read(store, ttl=MINUTE) == MISSING
    assert read(store, ttl=100 * YEAR).status is Status.OK


def test_how_far_theirs_go(store: Store) -> None:
    store.put_record()
    store.put_events(*map(make_event, "abcd"), at=5_000_000_000)
    five = "1970-01-01T00:00:05Z"
    foreign = {
        **make_foreign(five, "b"),
        **make_foreign(five, "gone", "ä/b"),
        **make_foreign(five, "", "c"),
        **make_foreign("1970-01-01T01:00:05.000000001+01:00", "b", "d"),
        "e": {"summary": "", "updated_at": five},
        "f": {"summary": "x", "updated_at": "x"},
        "g": 7,
    }
    store.client.hset(store.summaries, "s", json.dumps(foreign, ensure_ascii=False))
    assert read(store).foreign_cutoffs == {
        **{"": 5_000_000_001, "ä/b": 5_000_000_000},
        **{"c": 5_000_000_000, "d": 5_000_000_001},
    }
    for value in ("", "x", "[]", "7", "[" * 5000):
        store.client.hset(store.summaries, "s", value)
        assert read(store).foreign_cutoffs == {}


@pytest.mark.parametrize("wrong", ["sessions", "summaries"])
def test_a_key_of_the_wrong_type(store: Store, wrong: str) -> None:
    store.put_record()
    assert store.refuses(store.key(wrong), reading(store, "", "a"))
