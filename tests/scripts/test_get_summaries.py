from __future__ import annotations

import pytest

from langchain_redis_session._flow.requests import Argument
from tests.scripts.store import Store, make_summary

ARGS: list[Argument] = ["s", "s:", "s:a"]


def keys(store: Store) -> list[bytes]:
    return [store.sessions, store.events, store.summaries]


def test_what_is_there(store: Store) -> None:
    record = store.put_record().encode()
    assert store.call("get_summaries", keys(store), ARGS) == [record, b"", b"", b""]
    ours = make_summary(1)
    store.client.hset(store.summaries, mapping={"s:": ours, "s": "theirs", "s:b": "other"})
    before = store.dump()
    reply = store.call("get_summaries", keys(store), ARGS)
    assert reply == [record, b"theirs", ours.encode(), b""]
    assert store.call("get_summaries", keys(store), ["s"]) == [record, b"theirs"]
    assert store.dump() == before


def test_no_session_or_an_expired_one(store: Store) -> None:
    store.client.hset(store.summaries, "s:", make_summary(1))
    assert store.call("get_summaries", keys(store), ARGS) == []
    store.put_record(expires=1)
    assert store.call("get_summaries", keys(store), ARGS) == []
    store.put_events("a")
    assert len(store.call("get_summaries", keys(store), ARGS)) == 4


@pytest.mark.parametrize("wrong", ["sessions", "summaries"])
def test_a_key_of_the_wrong_type(store: Store, wrong: str) -> None:
    store.put_record()
    assert store.refuses(store.key(wrong), "get_summaries", keys(store), ARGS)
