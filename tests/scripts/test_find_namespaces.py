from __future__ import annotations

import time

from langchain_redis_session.scripts import memory_bindings
from tests.scripts.store import MINUTE, Store


def find(store: Store, lowest: bytes, highest: bytes) -> list[bytes]:
    call = memory_bindings.find_namespaces(store.key("memidx"), lowest=lowest, highest=highest)
    found = store.call(call)
    assert abs(found.now_ms - time.time() * 1000) < MINUTE
    return [*found.namespaces]


def test_those_between_the_bounds_are_found_in_their_order(store: Store) -> None:
    assert find(store, b"-", b"+") == []
    names = [b"a:", b"a:b:", b"ab:", b"b:"]
    store.client.zadd(store.key("memidx"), dict.fromkeys(names, 0))
    assert find(store, b"-", b"+") == names
    assert find(store, b"[a:", b"(a:\xff") == [b"a:", b"a:b:"]


def test_a_key_of_the_wrong_type(store: Store) -> None:
    call = memory_bindings.find_namespaces(store.key("memidx"), lowest=b"-", highest=b"+")
    assert store.refuses(store.key("memidx"), call)
