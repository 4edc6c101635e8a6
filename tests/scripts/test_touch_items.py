from __future__ import annotations

from langchain_redis_session.scripts import memory_bindings
from langchain_redis_session.scripts.memory_bindings import ItemWrite
from langchain_redis_session.scripts.replies import TouchedItems
from tests.scripts.store import MINUTE, Store
from tests.scripts.test_put_items import VALUE, end_life, keys_of, put, read


def touch(store: Store, *keys: str, refresh: bool = True) -> TouchedItems:
    call = memory_bindings.touch_items(
        keys_of(store),
        try_field_ttl=True,
        refresh=refresh,
        item_keys=[key.encode() for key in keys],
    )
    return store.call(call)


def shorten_life(store: Store) -> None:
    """Let half a minute of each key's life be left."""
    for name in store.names():
        store.client.pexpire(store.key(name), MINUTE // 2)


def test_a_ttl_starts_anew_with_that_of_every_key(store: Store) -> None:
    put(store, ItemWrite(b"k", VALUE, 5 * MINUTE, b"v"))
    before = read(store)
    shorten_life(store)
    for _ in range(2):
        touched = touch(store, "k", "missing")
        assert list(touched.alive) == [True, False]
        assert touched.field_ttl == store.has_field_ttl
        assert store.ttls() == dict.fromkeys(["items", "memidx", "vectors"], 5)
    after = read(store)
    assert after.pop("expiresAtMs") >= before.pop("expiresAtMs")
    assert after == before
    if store.has_field_ttl:
        for name in ("items", "vectors"):
            left = store.client.execute_command("HPTTL", store.key(name), "FIELDS", 1, "k")
            assert round(left[0] / MINUTE) == 5


def test_without_refresh_nothing_changes(store: Store) -> None:
    put(store, ItemWrite(b"k", VALUE, 5 * MINUTE, b"v"))
    shorten_life(store)
    before = store.dump(), store.ttls()
    assert list(touch(store, "k", refresh=False).alive) == [True]
    assert (store.dump(), store.ttls()) == before


def test_an_item_without_ttl_stays_as_it_is(store: Store) -> None:
    put(store, ItemWrite(b"k", VALUE))
    before = store.dump()
    assert touch(store, "k") == TouchedItems(None, [True])
    assert store.dump() == before
    assert store.ttls() == {"items": -1, "memidx": -1}


def test_what_is_past_its_time_goes_and_the_namespace_with_the_last(store: Store) -> None:
    for key in (b"k", b"l"):
        put(store, ItemWrite(key, VALUE, MINUTE, b"v"))
    end_life(store, "k")
    for refresh in (False, True):
        assert list(touch(store, "k", "l", refresh=refresh).alive) == [False, True]
        assert store.client.hkeys(store.key("items")) == [b"l"]
        assert store.client.hkeys(store.key("vectors")) == [b"l"]
    end_life(store, "l")
    assert list(touch(store, "l").alive) == [False]
    assert store.names() == []


def test_a_key_of_the_wrong_type(store: Store) -> None:
    call = memory_bindings.touch_items(
        keys_of(store), try_field_ttl=True, refresh=True, item_keys=[b"k"]
    )
    assert store.refuses(store.key("items"), call)
