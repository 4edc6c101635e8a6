from __future__ import annotations

from typing import Any

from langchain_redis_session.scripts import bindings
from langchain_redis_session.scripts.bindings import End
from tests.scripts.store import Store


def read(store: Store, first: End, **options: Any) -> tuple[int, int, str]:
    page = store.call(bindings.read_events(store.events, first=first, **options))
    assert page.scores == [str(b"abcde".index(entry) + 1).encode() for entry in page.entries]
    return page.size, page.older, b"".join(page.entries).decode()


def test_events_are_read_from_the_newest(store: Store) -> None:
    store.put_events(*"abcde")
    before = store.dump()
    assert read(store, End.NEWEST) == (5, 0, "edcba")
    assert read(store, End.NEWEST, count=2) == (5, 3, "ed")
    assert read(store, End.NEWEST, skip=1, count=2) == (5, 2, "dc")
    assert read(store, End.NEWEST, highest="4", lowest="2") == (5, 1, "dcb")
    assert read(store, End.NEWEST, highest="4", lowest="2", skip=1, count=1) == (5, 2, "c")
    assert read(store, End.NEWEST, lowest="9") == (5, 0, "")
    assert read(store, End.NEWEST, count=0) == (5, 0, "")
    assert store.dump() == before


def test_events_are_read_from_the_oldest(store: Store) -> None:
    store.put_events(*"abcde")
    assert read(store, End.OLDEST) == (5, 0, "abcde")
    assert read(store, End.OLDEST, skip=1, count=2) == (5, 1, "bc")
    assert read(store, End.OLDEST, highest="4", lowest="3", count=9) == (5, 2, "cd")


def test_events_are_read_from_behind_an_entry(store: Store) -> None:
    store.put_events(*"abcde")
    assert read(store, End.NEWEST, behind=b"c", count=2) == (5, 1, "cb")
    assert read(store, End.NEWEST, behind=b"gone", count=2) == (5, 3, "ed")


def test_nothing_is_read_where_there_are_no_events(store: Store) -> None:
    assert read(store, End.NEWEST) == (0, 0, "")
    assert store.names() == []


def test_a_key_of_the_wrong_type(store: Store) -> None:
    assert store.refuses(store.events, bindings.read_events(store.events))
