from __future__ import annotations

from typing import Any

from langchain_redis_session._flow.requests import Argument
from tests.scripts.store import Store


def read(store: Store, end: str, highest: Any, lowest: Any, skip: int, count: int) -> Any:
    size, older, entries = store.call(
        "read_events", [store.events], [end, highest, lowest, skip, count]
    )
    assert entries[1::2] == [str(b"abcde".index(entry) + 1).encode() for entry in entries[::2]]
    return size, older, b"".join(entries[::2]).decode()


def test_from_the_newest(store: Store) -> None:
    store.put_events(*"abcde")
    before = store.dump()
    assert read(store, "newest", "+inf", "-inf", 0, -1) == (5, 0, "edcba")
    assert read(store, "newest", "+inf", "-inf", 0, 2) == (5, 3, "ed")
    assert read(store, "newest", "+inf", "-inf", 1, 2) == (5, 2, "dc")
    assert read(store, "newest", 4, 2, 0, -1) == (5, 1, "dcb")
    assert read(store, "newest", 4, 2, 1, 1) == (5, 2, "c")
    assert read(store, "newest", "+inf", 9, 0, -1) == (5, 0, "")
    assert read(store, "newest", "+inf", "-inf", 0, 0) == (5, 0, "")
    assert store.dump() == before


def test_from_the_oldest(store: Store) -> None:
    store.put_events(*"abcde")
    assert read(store, "oldest", "+inf", "-inf", 0, -1) == (5, 0, "abcde")
    assert read(store, "oldest", "+inf", "-inf", 1, 2) == (5, 1, "bc")
    assert read(store, "oldest", 4, 3, 0, 9) == (5, 2, "cd")


def test_no_events(store: Store) -> None:
    assert read(store, "newest", "+inf", "-inf", 0, -1) == (0, 0, "")
    assert store.names() == []


def test_a_key_of_the_wrong_type(store: Store) -> None:
    args: list[Argument] = ["newest", "+inf", "-inf", 0, -1]
    assert store.refuses(store.events, "read_events", [store.events], args)
