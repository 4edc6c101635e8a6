from __future__ import annotations

import json
import re
from typing import Any

from langchain_redis_session._keys.memory import NamespaceKeys
from langchain_redis_session.scripts import memory_bindings
from langchain_redis_session.scripts.memory_bindings import ItemWrite
from tests.scripts.store import MINUTE, Store

VALUE = b'{"value":{"createdAtUs":1,"updatedAtUs":2}'


def keys_of(store: Store) -> NamespaceKeys:
    items, vectors, index = map(store.key, ("items", "vectors", "memidx"))
    return NamespaceKeys(items, vectors, index, b"facts:")


def put(store: Store, *items: ItemWrite) -> bool | None:
    call = memory_bindings.put_items(keys_of(store), try_field_ttl=True, items=items)
    return store.call(call).field_ttl


def read(store: Store, key: str = "k") -> dict[str, Any]:
    item: dict[str, Any] = json.loads(store.client.hget(store.key("items"), key))
    return item


def end_life(store: Store, key: str = "k") -> None:
    """Let an item be past its time, as it is where the server does not remove it by itself."""
    item = store.client.hget(store.key("items"), key)
    over = re.sub(rb'"expiresAtMs":\d+', b'"expiresAtMs":1', item)
    assert over != item
    store.client.hset(store.key("items"), key, over)


def test_an_item_is_put_with_its_times_however_often_it_is_sent(store: Store) -> None:
    put(store, ItemWrite(b"k", VALUE))
    first = read(store)
    assert first["value"] == {"createdAtUs": 1, "updatedAtUs": 2}
    assert first["createdAtUs"] == first["updatedAtUs"] > 1_700_000_000_000_000
    for _ in range(2):
        put(store, ItemWrite(b"k", b'{"value":{}'))
        second = read(store)
        assert (second["value"], second["createdAtUs"]) == ({}, first["createdAtUs"])
        assert second["updatedAtUs"] > first["updatedAtUs"]
    assert store.ttls() == {"items": -1, "memidx": -1}
    assert store.scored(store.key("memidx")) == [("facts:", 0)]


def test_items_of_one_call_keep_their_order(store: Store) -> None:
    put(store, *(ItemWrite(name, VALUE) for name in (b"c", b"a", b"b")))
    made = {name: read(store, name)["createdAtUs"] for name in "abc"}
    assert made["c"] < made["a"] < made["b"]


def test_vectors_come_and_go_with_their_item(store: Store) -> None:
    put(store, ItemWrite(b"k", VALUE, vectors=b"\x00\xff"), ItemWrite(b"l", VALUE, vectors=b"v"))
    assert store.client.hgetall(store.key("vectors")) == {b"k": b"\x00\xff", b"l": b"v"}
    put(store, ItemWrite(b"k", VALUE))
    assert store.client.hgetall(store.key("vectors")) == {b"l": b"v"}
    for _ in range(2):
        put(store, ItemWrite(b"l"))
        assert store.names() == ["items", "memidx"]
        assert store.client.hkeys(store.key("items")) == [b"k"]


def test_a_namespace_goes_with_its_last_item(store: Store) -> None:
    put(store, ItemWrite(b"k", VALUE, vectors=b"v"), ItemWrite(b"l", VALUE))
    put(store, ItemWrite(b"k"), ItemWrite(b"l"), ItemWrite(b"never was"))
    assert store.names() == []


def test_every_key_has_the_longest_ttl_of_its_items(store: Store) -> None:
    for ttl, expected in ((2, 2), (1, 2), (3, 3), (0, -1), (3, -1)):
        found = put(store, ItemWrite(f"k{ttl}".encode(), VALUE, ttl * MINUTE, b"v"))
        assert store.ttls() == dict.fromkeys(["items", "memidx", "vectors"], expected)
        assert found == (store.has_field_ttl if ttl else None)
    assert read(store, "k1")["ttlMs"] == MINUTE
    assert "ttlMs" not in read(store, "k0")


def test_where_fields_can_expire_an_item_and_its_vectors_do(store: Store) -> None:
    put(store, ItemWrite(b"k", VALUE, 2 * MINUTE, b"v"), ItemWrite(b"l", VALUE, 0, b"v"))
    if not store.has_field_ttl:
        return
    for name in ("items", "vectors"):
        left = store.client.execute_command("HPTTL", store.key(name), "FIELDS", 2, "k", "l")
        assert round(left[0] / MINUTE) == 2
        assert left[1] == -1


def test_what_is_past_its_time_is_put_anew(store: Store) -> None:
    put(store, ItemWrite(b"k", VALUE, MINUTE))
    first = read(store)["createdAtUs"]
    end_life(store)
    put(store, ItemWrite(b"k", VALUE))
    assert read(store)["createdAtUs"] > first


def test_a_key_of_the_wrong_type(store: Store) -> None:
    items = [ItemWrite(b"k", VALUE, MINUTE, b"v")]
    call = memory_bindings.put_items(keys_of(store), try_field_ttl=True, items=items)
    for name in ("items", "vectors", "memidx"):
        store.client.delete(*map(store.key, ("items", "vectors", "memidx")))
        assert store.refuses(store.key(name), call)
