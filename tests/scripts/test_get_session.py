from __future__ import annotations

from typing import Any

import pytest

from langchain_redis_session._flow.requests import Argument
from tests.scripts.store import Store, make_summary

FOREIGN = '{"":{"summary":"x"}}'


def arguments(
    highest: Any = "+inf", lowest: Any = "-inf", skip: int = 0, count: int = -1, at_least: int = 0
) -> list[Argument]:
    return ["s", "s:", at_least, highest, lowest, skip, count]


def read(store: Store, **options: Any) -> Any:
    keys = [store.sessions, store.events, store.summaries, store.user, store.app]
    return store.call("get_session", keys, arguments(**options))


def test_all_of_it(store: Store) -> None:
    record = store.put_record().encode()
    store.put_events("a", "b", "c")
    store.client.hset(store.user, "u", "1")
    store.client.hset(store.app, "a", "2")
    before = store.dump()
    start, end = [record, b"", b"", 3], [[b"u", b"1"], [b"a", b"2"]]
    assert read(store) == [*start, 0, [b"c", b"3", b"b", b"2", b"a", b"1"], *end]
    assert read(store, count=1) == [*start, 2, [b"c", b"3"], *end]
    assert read(store, skip=1, count=1) == [*start, 1, [b"b", b"2"], *end]
    assert read(store, highest=2, lowest=2) == [*start, 1, [b"b", b"2"], *end]
    assert read(store, count=0) == [*start, 0, [], *end]
    assert read(store, lowest=9) == [*start, 0, [], *end]
    assert store.dump() == before


def test_state_elsewhere(store: Store) -> None:
    store.put_record()
    keys = [store.sessions, store.events, store.summaries, store.user]
    assert store.call("get_session", keys, arguments())[3:] == [0, 0, [], [], []]
    assert store.call("get_session", keys[:3], arguments())[3:] == [0, 0, [], [], []]


def test_with_its_summaries(store: Store) -> None:
    store.put_record()
    store.put_events("a", "b", "c")
    ours, branch = make_summary(2), make_summary(1)
    store.client.hset(store.summaries, mapping={"s:": ours, "s:b": branch, "s": FOREIGN})
    whole = read(store)
    assert whole[1:3] == [ours.encode(), FOREIGN.encode()]
    assert len(whole[5]) == 6
    assert read(store, lowest="summary")[3:6] == [3, 2, [b"c", b"3"]]
    assert read(store, lowest="summary", at_least=1)[5] == [b"c", b"3"]
    assert read(store, lowest="summary", at_least=2)[3:6] == [3, 0, []]
    store.client.hset(store.summaries, "s:", make_summary(3))
    assert read(store, lowest="summary")[3:6] == [3, 0, []]


@pytest.mark.parametrize("value", [None, FOREIGN, "x", '{"summary":"', make_summary(2) + " "])
def test_what_is_no_summary_of_ours_covers_nothing(store: Store, value: str | None) -> None:
    store.put_record()
    store.put_events("a", "b", "c")
    if value is not None:
        store.client.hset(store.summaries, "s:", value)
    assert len(read(store, lowest="summary")[5]) == 6


def test_none_or_expired(store: Store) -> None:
    store.client.hset(store.summaries, "s:", make_summary(2))
    assert read(store) == [b"", b"", b"", 0, 0, [], [], []]
    store.put_record(expires=1)
    before = store.dump()
    assert read(store) == []
    assert store.dump() == before
    store.put_events("a")
    assert read(store)[3] == 1
    store.client.unlink(store.sessions)
    assert read(store)[:6] == [b"", b"", b"", 1, 0, [b"a", b"1"]]


@pytest.mark.parametrize("wrong", ["sessions", "events", "summaries", "user", "app"])
def test_a_key_of_the_wrong_type(store: Store, wrong: str) -> None:
    store.put_record()
    keys = [store.sessions, store.events, store.summaries, store.user, store.app]
    assert store.refuses(store.key(wrong), "get_session", keys, arguments())
