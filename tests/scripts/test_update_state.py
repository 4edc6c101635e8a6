from __future__ import annotations

from langchain_redis_session.scripts import bindings
from langchain_redis_session.scripts.replies import Status
from tests.scripts.store import MINUTE, Store


def update(store: Store, ttl: int = 0, **values: bytes) -> Status:
    return store.call(bindings.update_state(store.user, values=values, ttl_ms=ttl))


def test_names_are_set_and_the_others_kept(store: Store) -> None:
    for _ in range(2):
        assert update(store, k=b"1", l=b"\xff\x00") is Status.OK
        assert store.client.hgetall(store.user) == {b"k": b"1", b"l": b"\xff\x00"}
    assert update(store, k=b"2") is Status.OK
    assert store.client.hget(store.user, "k") == b"2"
    assert store.ttls() == {"user": -1}


def test_an_update_without_values_creates_no_key(store: Store) -> None:
    assert update(store, MINUTE) is Status.OK
    assert store.names() == []


def test_the_ttl_only_grows(store: Store) -> None:
    for ttl, expected in ((2, 2), (1, 2), (3, 3), (0, -1), (3, -1)):
        update(store, ttl * MINUTE, k=b"1")
        assert store.ttls() == {"user": expected}


def test_a_key_of_the_wrong_type(store: Store) -> None:
    call = bindings.update_state(store.user, values={"k": b"1"}, ttl_ms=MINUTE)
    assert store.refuses(store.user, call)
