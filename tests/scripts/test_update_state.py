from __future__ import annotations

from langchain_redis_session._flow.requests import Argument
from tests.scripts.store import MINUTE, Store


def test_names_are_set(store: Store) -> None:
    args: list[Argument] = [0, "k", "1", "l", b"\xff\x00"]
    for _ in range(2):
        assert store.call("update_state", [store.user], args) == 2
        assert store.client.hgetall(store.user) == {b"k": b"1", b"l": b"\xff\x00"}
    assert store.call("update_state", [store.user], [0, "k", "2"]) == 1
    assert store.client.hget(store.user, "k") == b"2"
    assert store.ttls() == {"user": -1}


def test_nothing_is_set(store: Store) -> None:
    assert store.call("update_state", [store.user], [MINUTE]) == 0
    assert store.names() == []


def test_the_ttl_only_grows(store: Store) -> None:
    for ttl, expected in ((2, 2), (1, 2), (3, 3), (0, -1), (3, -1)):
        store.call("update_state", [store.user], [ttl * MINUTE, "k", "1"])
        assert store.ttls() == {"user": expected}


def test_a_key_of_the_wrong_type(store: Store) -> None:
    assert store.refuses(store.user, "update_state", [store.user], [MINUTE, "k", "1"])
