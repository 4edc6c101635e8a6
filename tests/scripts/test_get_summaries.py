from __future__ import annotations

import pytest

from langchain_redis_session._flow.scripts import ScriptCall
from langchain_redis_session.scripts import bindings
from langchain_redis_session.scripts.replies import Status, StoredSummaries
from tests.scripts.store import Store, make_summary

MISSING = StoredSummaries(Status.MISSING)


def reading(store: Store, *filter_keys: str) -> ScriptCall[StoredSummaries]:
    return bindings.get_summaries(store.keys, filter_keys=filter_keys)


def read(store: Store) -> StoredSummaries:
    return store.call(reading(store, "", "a"))


def test_what_is_there(store: Store) -> None:
    record = store.put_record().encode()
    assert read(store) == (Status.OK, record, b"", [b"", b""])
    ours = make_summary(1)
    store.client.hset(store.summaries, mapping={"s:": ours, "s": "theirs", "s:b": "other"})
    before = store.dump()
    assert read(store) == (Status.OK, record, b"theirs", [ours.encode(), b""])
    assert store.call(reading(store)) == (Status.OK, record, b"theirs", [])
    assert store.dump() == before


def test_no_session_or_an_expired_one(store: Store) -> None:
    store.client.hset(store.summaries, "s:", make_summary(1))
    assert read(store) == MISSING
    store.put_record(expires=1)
    assert read(store) == MISSING
    store.put_events("a")
    assert read(store).status is Status.OK


@pytest.mark.parametrize("wrong", ["sessions", "summaries"])
def test_a_key_of_the_wrong_type(store: Store, wrong: str) -> None:
    store.put_record()
    assert store.refuses(store.key(wrong), reading(store, "", "a"))
