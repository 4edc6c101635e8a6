from __future__ import annotations

import pytest
import redis

from langchain_redis_session.scripts import summary_bindings
from langchain_redis_session.scripts.replies import Status
from tests.scripts.store import Store


def release(store: Store, token: str) -> Status:
    return store.call(summary_bindings.release_summary(store.keys, token=token))


def test_only_its_owner_gives_a_lease_back(store: Store) -> None:
    store.client.set(store.lease, "t")
    assert release(store, "other") is Status.GONE
    assert store.client.get(store.lease) == b"t"
    assert release(store, "t") is Status.OK
    assert store.names() == []
    assert release(store, "t") is Status.GONE


def test_a_key_of_the_wrong_type(store: Store) -> None:
    store.client.sadd(store.lease, "t")
    with pytest.raises(redis.ResponseError, match="WRONGTYPE"):
        release(store, "t")
    assert store.client.smembers(store.lease) == {b"t"}
