from __future__ import annotations

from typing import Any

import pytest

from langchain_redis_session._flow import Argument
from tests.scripts.store import Store


def read(store: Store, highest: Any = "+inf", lowest: Any = "-inf", skip: int = 0, count: int = -1) -> Any:  # fmt: skip  # noqa: E501
    keys = [store.sessions, store.events, store.user, store.app]
    return store.call("get_session", keys, ["s", highest, lowest, skip, count])


def test_all_of_it(store: Store) -> None:
    record = store.put_record().encode()
    store.put_events("a", "b", "c")
    store.client.hset(store.user, "u", "1")
    store.client.hset(store.app, "a", "2")
    before = store.dump()
    user, app = [b"u", b"1"], [b"a", b"2"]
    assert read(store) == [record, 3, 0, [b"c", b"3", b"b", b"2", b"a", b"1"], user, app]
    assert read(store, count=1) == [record, 3, 2, [b"c", b"3"], user, app]
    assert read(store, skip=1, count=1) == [record, 3, 1, [b"b", b"2"], user, app]
    assert read(store, highest=2, lowest=2) == [record, 3, 1, [b"b", b"2"], user, app]
    assert read(store, count=0) == [record, 3, 0, [], user, app]
    assert read(store, lowest=9) == [record, 3, 0, [], user, app]
    assert store.dump() == before


def test_app_state_elsewhere(store: Store) -> None:
    store.put_record()
    keys = [store.sessions, store.events, store.user]
    reply = store.call("get_session", keys, ["s", "+inf", "-inf", 0, -1])
    assert reply[1:] == [0, 0, [], [], []]


def test_none_or_expired(store: Store) -> None:
    assert read(store) == []
    store.put_record(expires=1)
    before = store.dump()
    assert read(store) == []
    assert store.dump() == before
    store.put_events("a")
    assert read(store)[1] == 1


@pytest.mark.parametrize("wrong", ["sessions", "events", "user", "app"])
def test_a_key_of_the_wrong_type(store: Store, wrong: str) -> None:
    store.put_record()
    keys = [store.sessions, store.events, store.user, store.app]
    args: list[Argument] = ["s", "+inf", "-inf", 0, -1]
    assert store.refuses(store.key(wrong), "get_session", keys, args)
